"""What became of the steps of one record, why some failed, and which steps make what another record's step collects."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from bids_app.model.records import Record
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


def changed(step: str, file: Path, is_anothers: bool) -> StepFailure:
    """Return the failure of a step one of whose files is not as it was written; another command's may lie there."""
    sentence = (
        f"{file} does not hold what was written to it: another program has changed it, or the disk is faulty; run the "
        "same command again"
    )
    return StepFailure(step, sentence, taken_over=is_anothers)


def blocked(step: str, makers: Collection[str], others: Collection[str], image: str) -> StepFailure:
    """Return why a step cannot run: the steps that failed before it, and products that nobody makes (of an image)."""
    wanted = [f"what step {name} makes" for name in makers]
    if others:
        wanted.append(", ".join(others) + (f" of {image}" if image else ""))
    return StepFailure(step, f"not run, because it needs {' and '.join(wanted)}", blocked=True)


def makers_of(step: Step[R]) -> tuple[Step[Record], ...]:
    """Return the steps that make what a step collects: whose records it names are those that they run over."""
    return cast("tuple[Step[Record], ...]", step.makers)
