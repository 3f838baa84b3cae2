"""What workers report to the parent while they work."""

from collections.abc import Callable
from dataclasses import dataclass


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
