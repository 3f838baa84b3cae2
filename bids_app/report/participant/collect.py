"""What a report is made of: the records of a subject's steps, the files that they name, and how its runs ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.derivatives.records import load_own_record, record_files, records_folder, split_name
from bids_app.model.context import Context
from bids_app.model.records import Echo, GreRun, Subject
from bids_app.model.results import JobResult, StepFailure
from bids_app.model.step_record import JsonObject, StepRecord

#: Steps of the group level over one participant: their records lie in the participant's folder and are no runs of it.
GROUP_STEPS = ("subject", "register", "space", "manual_regions")
#: Order of the stages on the page; steps that are not named come after, by their start.
_ORDER = (
    "t1w",
    "fastsurfer",
    "atlas",
    "coils",
    "phase",
    "field",
    "import-basis",
    "import-total-field",
    "registration",
    "brain",
    "given-mask",
    "brain-extraction",
    "mask",
    "background",
    "inversion",
    "null_space_trend",
    "relaxometry",
    "swi",
)
#: Steps of former versions, whose records may still lie in the folder of the steps that took their place.
_FORMER = ("chi",)


@dataclass(frozen=True)
class Notice:
    """Something that the reader should look at, and the part of the page that shows it (empty: none does)."""

    text: str
    part: str = ""


#: The part of the page that shows what a step made.
_PARTS = {
    "phase": "input",
    "field": "input",
    "mask": "masks",
    "brain": "masks",
    "given-mask": "masks",
    "brain-extraction": "masks",
    "background": "chi",
    "inversion": "chi",
    "null_space_trend": "chi",
    "reference": "chi",
    "relaxometry": "relaxometry",
    "swi": "swi",
    "qc": "qc",
    "registration": "regions",
    "atlas": "regions",
}


@dataclass
class Run:
    """One gradient-echo run (or anatomical image): records by step, and what went wrong."""

    basename: str
    output_dir: Path
    records: dict[str, StepRecord] = field(default_factory=dict)
    source: GreRun | None = None  # the dataset's own record, None where the run is known by its records alone
    failures: list[StepFailure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def path(self, key: str) -> Path | None:
        """Return a product's file, None where there is none."""
        for record in self.records.values():
            relative = record.paths.get(key)
            if relative is not None and (self.output_dir / relative).is_file():
                return self.output_dir / relative
        return None

    def keys(self, start: str) -> list[str]:
        """Return the keys of products that begin with a text and are there."""
        keys = [key for record in self.records.values() for key in record.paths if key.startswith(start)]
        return [key for key in dict.fromkeys(keys) if self.path(key) is not None]

    def parameters(self, step: str) -> Mapping[str, JsonObject]:
        """Return the parameters that a step ran with, by section; empty where it did not run."""
        record = self.records.get(step)
        return {} if record is None else record.parameters

    def metric(self, step: str, name: str) -> object:
        """Return one of a step's metrics, None where there is none."""
        record = self.records.get(step)
        return None if record is None else record.metrics.get(name)

    @property
    def echoes(self) -> tuple[Echo, ...]:
        """The echoes, none where the dataset's record is not known."""
        return () if self.source is None else self.source.echoes

    @property
    def is_anatomical(self) -> bool:
        """Whether it is an anatomical image, whose steps serve the gradient-echo runs."""
        return self.basename.rpartition("_")[2] in ("T1w", "T2w", "UNIT1", "FLAIR")

    @property
    def notices(self) -> list[Notice]:
        """Return remarks on the input and warnings of all steps, each once."""
        notices = {text: Notice(text) for text in self.remarks}
        for step, record in self.records.items():
            part = "regions" if step.startswith(("labels-", "regions-")) else _PARTS.get(step, "")
            for text in record.warnings:
                notices.setdefault(text, Notice(text, part))
        return list(notices.values())

    @property
    def warnings(self) -> list[str]:
        """Return the sentences of all notices."""
        return [notice.text for notice in self.notices]

    @property
    def failed(self) -> list[StepFailure]:
        """Return the steps that failed themselves."""
        return [failure for failure in self.failures if not failure.blocked]

    @property
    def status(self) -> str:
        """``failed``, ``warnings``, ``done`` or ``not processed``."""
        if self.failures:
            return "failed"
        if not self.records:
            return "not processed"
        return "warnings" if self.warnings else "done"


def collect(subject: Subject, context: Context, results: Mapping[str, JobResult]) -> list[Run]:
    """Return the runs of a subject: those of the dataset, and others that have records (of another call's sessions).

    Parameters
    ----------
    subject : Subject
        The dataset's record of the subject.
    context : Context
        Where a call happens.
    results : mapping of JobResult
        How jobs ended, by their name.
    """
    runs = {source.basename: Run(source.basename, context.output_dir, source=source) for source in subject.runs}
    for source in subject.runs:
        runs[source.basename].remarks = list(source.remarks)
    folder = records_folder((("sub", subject.label),), context.output_dir)
    paths = [path for path in record_files(folder) if split_name(path)[1] not in (*GROUP_STEPS, *_FORMER)]
    load_runs(sorted(paths), context.output_dir, runs)
    for name, result in results.items():
        run = runs.setdefault(name, Run(name, context.output_dir))
        run.failures = list(result.failures)
    for run in runs.values():
        run.records = dict(sorted(run.records.items(), key=lambda item: _rank(item[1])))
    return list(runs.values())


def load_runs(paths: Iterable[Path], output_dir: Path, runs: dict[str, Run] | None = None) -> dict[str, Run]:
    """Return runs by their names with the records of these files, added to ``runs`` where it is given."""
    known = {} if runs is None else runs
    for path in paths:
        record = load_own_record(path)
        if record is not None:
            known.setdefault(record.basename, Run(record.basename, output_dir)).records[record.step] = record
    return known


def spaces_of(template: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the records of templates by the space that they belong to: the study's own template, an output space."""
    spaces: dict[str, list[Run]] = {}
    for run in template:
        spaces.setdefault(run.basename.partition("_")[0].removeprefix("tpl-"), []).append(run)
    return spaces


def _rank(record: StepRecord) -> tuple[int, str]:
    return (_ORDER.index(record.step) if record.step in _ORDER else len(_ORDER), record.started)
