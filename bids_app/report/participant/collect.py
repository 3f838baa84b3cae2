"""What a report is made of: the records of a subject's steps, the files that they name, and how its runs ended."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_app.derivatives.names import record_folder

#: Steps of the group level over one participant: their records lie beside the participant's and are no runs of it.
GROUP_STEPS = ("member", "register", "space", "drawn")
#: Order of the stages on the page; steps that are not named come after, by their start.
_ORDER = (
    "t1w",
    "fastsurfer",
    "atlas",
    "coils",
    "phase",
    "field",
    "registration",
    "brain",
    "mask",
    "background",
    "inversion",
    "null_space_trend",
    "relaxometry",
    "swi",
)
#: Steps of former versions, whose records may still lie beside those of the steps that took their place.
_FORMER = ("chi",)


@dataclass(frozen=True)
class Failure:
    """A step that failed or was not run."""

    step: str
    sentence: str
    traceback: str = ""
    blocked: bool = False


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
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    source: Any = None  # the dataset's own record, None where the run is known by its records alone
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def path(self, key: str) -> Path | None:
        """Return a product's file, None where there is none."""
        for record in self.records.values():
            relative = record.get("paths", {}).get(key)
            if relative is not None and (self.output_dir / relative).is_file():
                return self.output_dir / relative
        return None

    def keys(self, start: str) -> list[str]:
        """Return the keys of products that begin with a text and are there."""
        found = [key for record in self.records.values() for key in record.get("paths", {}) if key.startswith(start)]
        return [key for key in dict.fromkeys(found) if self.path(key) is not None]

    def parameters(self, step: str) -> dict[str, Any]:
        """Return the parameters that a step ran with."""
        return dict(self.records.get(step, {}).get("parameters", {}))

    def metric(self, step: str, name: str) -> Any:
        """Return one of a step's numbers, None where there is none."""
        return self.records.get(step, {}).get("metrics", {}).get(name)

    @property
    def is_anatomical(self) -> bool:
        """Whether it is an anatomical image, whose steps serve the gradient-echo runs."""
        return self.basename.rpartition("_")[2] in ("T1w", "T2w", "UNIT1", "FLAIR")

    @property
    def notices(self) -> list[Notice]:
        """Return remarks on the input and warnings of all steps, each once."""
        found = {text: Notice(text) for text in self.remarks}
        for step, record in self.records.items():
            part = "regions" if step.startswith(("labels-", "regions-")) else _PARTS.get(step, "")
            for text in record.get("warnings", []):
                found.setdefault(text, Notice(text, part))
        return list(found.values())

    @property
    def warnings(self) -> list[str]:
        """Return the sentences of all notices."""
        return [notice.text for notice in self.notices]

    @property
    def failed(self) -> list[Failure]:
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


def collect(subject: Any, context: Any, results: Mapping[str, Any]) -> list[Run]:
    """Return the runs of a subject: those of the dataset, and others that have records (of another call's sessions).

    Parameters
    ----------
    subject
        The dataset's record of the subject (``label``, ``runs``).
    context
        Where a call happens (``output_dir``).
    results
        How jobs ended (``failures``), by their name.
    """
    runs = {source.basename: Run(source.basename, context.output_dir, source=source) for source in subject.runs}
    for run in runs.values():
        run.remarks = list(run.source.remarks)
    folder = record_folder({"sub": subject.label}, context.output_dir / "logs" / "records")
    paths = [p for p in folder.rglob("*_step-*.json") if p.stem.rpartition("_step-")[2] not in (*GROUP_STEPS, *_FORMER)]
    load_runs(sorted(paths), context.output_dir, runs)
    for name, result in results.items():
        run = runs.setdefault(name, Run(name, context.output_dir))
        run.failures = [Failure(f.step, f.sentence, f.traceback, f.blocked) for f in result.failures]
    for run in runs.values():
        run.records = dict(sorted(run.records.items(), key=lambda item: _rank(item[1])))
    return list(runs.values())


def load_runs(paths: Iterable[Path], output_dir: Path, runs: dict[str, Run] | None = None) -> dict[str, Run]:
    """Return runs by their names with the records of these files, added to ``runs`` where it is given."""
    found = {} if runs is None else runs
    for path in paths:
        record = _load(path)
        if record:
            name = record["basename"]
            found.setdefault(name, Run(name, output_dir)).records[record["step"]] = record
    return found


def spaces_of(template: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the records of templates by the space that they belong to: the study's own template, an output space."""
    found: dict[str, list[Run]] = {}
    for run in template:
        found.setdefault(run.basename.partition("_")[0].removeprefix("tpl-"), []).append(run)
    return found


def _rank(record: Mapping[str, Any]) -> tuple[int, str]:
    name = record["step"]
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), str(record.get("started", "")))


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and {"basename", "step"} <= set(content) else {}
