"""How jobs end, and what is called when all jobs of a participant or of the group have ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypedDict, TypeVar

from bids_app.model.context import Context
from bids_app.model.settings import Settings

SubjectT_contra = TypeVar("SubjectT_contra", contravariant=True)


@dataclass(frozen=True)
class StepFailure:
    """A step that failed, or that could not run because something that it needs is not there."""

    step: str
    sentence: str
    traceback: str = ""
    blocked: bool = False  # not run, because an earlier step failed
    taken_over: bool = False  # another command writes this run now


def earlier_failures(content: object) -> dict[str, list[StepFailure]]:
    """Return failures by run as a file keeps them; none where it holds anything else."""
    by_run: dict[str, list[StepFailure]] = {}
    for name, listed in content.items() if isinstance(content, dict) else ():
        failures = [StepFailure(**entry) for entry in listed if _is_failure(entry)] if isinstance(listed, list) else []
        by_run |= {name: failures} if failures else {}
    return by_run


def _is_failure(entry: object) -> bool:
    kinds = {"step": str, "sentence": str, "traceback": str, "blocked": bool, "taken_over": bool}
    if not isinstance(entry, dict) or not {"step", "sentence"} <= entry.keys() <= kinds.keys():
        return False
    return all(isinstance(value, kinds[key]) for key, value in entry.items())


@dataclass
class JobResult:
    """How a job ended."""

    job: str
    subject: str
    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failures: list[StepFailure] = field(default_factory=list)
    peak_bytes: int = 0
    duration_s: float = 0.0
    output: str = ""  # end of what the process printed, where it failed
    stopped: bool = False  # never started, because another job failed (--stop-on-first-crash)

    @property
    def status(self) -> str:
        """``done``, ``unchanged``, ``FAILED`` or ``not run``."""
        if self.failures:
            return "FAILED"
        if self.stopped:
            return "not run"
        return "done" if self.ran else "unchanged"


class Payload(TypedDict, total=False):
    """What a report gets besides the record that it is about."""

    results: Mapping[str, JobResult]  # how the jobs before it ended, by name
    expected: Mapping[str, tuple[str, ...]]  # the steps of the command's jobs, by the names of the jobs
    spaces: tuple[str, ...]  # names of the templates' folders, the study's own first


#: ``f(record, settings, context, payload)``, where the record is what the report is about.
ReportCall = Callable[[SubjectT_contra, Settings, Context, Payload], list[str]]
ReportCheck = Callable[[SubjectT_contra, Settings, Context, Payload], bool]


@dataclass(frozen=True)
class Report(Generic[SubjectT_contra]):
    """A page that is written when jobs have ended, well or not: two functions of a module, so that it can be sent."""

    write: ReportCall[SubjectT_contra]  # writes the page and returns warnings
    is_done: ReportCheck[SubjectT_contra]  # whether the page is there and shows what there is now
