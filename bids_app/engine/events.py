"""What workers tell the parent while they work, and what a finished job comes back with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from bids_app.engine.chain import StepFailure


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    Kinds of a job: ``job-started``, ``job-finished``; of a step within it: ``skipped``, ``started``, ``progress``
    (``done`` of ``total`` iterations, as solvers report them), ``finished``, ``failed``, ``blocked``.
    """

    kind: str
    job: str  # basename of what it runs over
    step: str = ""
    done: int = 0
    total: int = 0


EventHandler = Callable[[Event], None]


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
