"""What the page of the group shows: products of its own command's jobs, and a list of what earlier commands left."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.derivatives.files import write_json, write_table
from bids_app.derivatives.records import load_record, record_files, records_root, split_name
from bids_app.model.results import JobResult, Payload
from bids_app.model.step_record import JsonObject, StepRecord
from bids_app.report.participant.collect import GROUP_STEPS, Run

_EARLIER = "group_earlier"
_COLUMNS = {
    "file": {"Description": "File of an earlier command, relative to the output directory"},
    "step": {"Description": "Step that made it"},
    "made": {"Description": "When the step began"},
    "reason": {"Description": "Why it does not belong to the last command"},
}
_NOT_ASKED, _OTHER, _NOT_MADE = (
    "the last command did not ask for it",
    "it was made with other parameters",
    "the step did not succeed in the last command",
)


@dataclass(frozen=True)
class Current:
    """Which records belong to the command: those of its jobs, made with its parameters."""

    #: Steps by the names of the command's jobs; None: all that is there counts.
    steps: Mapping[str, Collection[str]] | None
    results: Mapping[str, JobResult]
    parameters: Mapping[str, JsonObject]  # by section

    @classmethod
    def of(cls, payload: Payload, parameters: Mapping[str, JsonObject]) -> "Current":
        """Return what a payload and the settings of the command say."""
        return cls(payload.get("expected"), payload.get("results", {}), parameters)

    def reason(self, record: StepRecord) -> str:
        """Return why a record does not belong to the command; empty if it does."""
        if self.steps is None:
            return ""
        if record.step not in self.steps.get(record.basename, ()):
            return _NOT_ASKED
        known = {name: values for name, values in record.parameters.items() if name in self.parameters}
        if any(_plain(values) != _plain(self.parameters[name]) for name, values in known.items()):
            return _OTHER
        result = self.results.get(record.basename)
        if result is not None and record.step not in (*result.ran, *result.skipped):
            return _NOT_MADE
        return ""

    def chosen(self, runs: Iterable[Run]) -> list[Run]:
        """Return runs with those records alone that belong to the command; runs without any are left out."""
        kept = []
        for run in runs:
            records = {step: record for step, record in run.records.items() if not self.reason(record)}
            if records:
                kept.append(Run(run.basename, run.output_dir, records))
        return kept


def _plain(values: object) -> object:
    """Return values as JSON has them: lists for tuples."""
    if isinstance(values, Mapping):
        return {name: _plain(value) for name, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, list | tuple) else values


def earlier_products(current: Current, output_dir: Path) -> list[dict[str, object]]:
    """Return a row for every product of the group level that lies there and does not belong to the command."""
    if current.steps is None:
        return []
    rows: list[dict[str, object]] = []
    for path in record_files(records_root(output_dir)):
        basename, step = split_name(path)
        if basename.startswith("sub-") and (step not in GROUP_STEPS or step in current.steps.get(basename, ())):
            continue  # of the level participant, or of this command
        record = load_record(path)
        reason = "" if record is None else current.reason(record)
        if record is not None and reason:
            rows += [
                {"file": relative, "step": record.step, "made": record.started or None, "reason": reason}
                for relative in record.paths.values()
                if not Path(relative).parts[0].startswith((".", "work")) and (output_dir / relative).is_file()
            ]
    return sorted(rows, key=lambda row: str(row["file"]))


def write_earlier(rows: Sequence[Mapping[str, object]], output_dir: Path) -> None:
    """Write the list of products of earlier commands; without any there is no list."""
    table, sidecar = output_dir / f"{_EARLIER}.tsv", output_dir / f"{_EARLIER}.json"
    if rows:
        write_table(table, rows)
        write_json(sidecar, _COLUMNS)
    else:
        for path in (table, sidecar):
            path.unlink(missing_ok=True)
