"""What became of the steps of one record, and which steps make what another record's step collects."""

from dataclasses import dataclass, field
from typing import TypeVar, cast

from bids_app.model.records import Anatomical, Record
from bids_app.model.results import StepFailure
from bids_app.model.step import Step

R = TypeVar("R", bound=Record)


@dataclass
class ChainResult:
    """What became of each step, and what the user should know."""

    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[StepFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    peak_bytes: int = 0


def makers_of(step: Step[R]) -> tuple[Step[Record], ...]:
    """Return the steps that make what a step collects: whose records it names are those that they run over."""
    return cast("tuple[Step[Record], ...]", step.makers)


def t1w_of(record: Record) -> Anatomical | None:
    """Return the anatomical image that goes with a record, where it has one."""
    image = getattr(record, "t1w", None)
    return image if isinstance(image, Anatomical) else None
