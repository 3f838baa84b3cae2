"""Records of steps that do not run any more because imports replace them, and of imports that are no more."""

from collections.abc import Collection, Sequence
from typing import TypeVar

from bids_app.derivatives.records import load_own_record, record_path, remove_record
from bids_app.engine.execution import Check, remove_products
from bids_app.model.context import Context
from bids_app.model.records import Record
from bids_app.model.step import Plan, Step

R = TypeVar("R", bound=Record)


def obsolete(steps: Sequence[Step[R]], planned: Plan[R]) -> list[Step[R]]:
    """Return the steps whose results belong to another plan: imports that are no more, and steps that one replaces."""
    absent = [step for step in steps if step not in planned.steps]
    return [step for step in absent if step.is_substitute or step in (*planned.replaced, *planned.left_out)]


def forget(steps: Sequence[Step[R]], record: R, kept: Collection[str], context: Context, check: Check) -> None:
    """Remove records and products of steps, but for products that other steps make (``kept``)."""
    for path in (record_path(step.name, record, context.output_dir) for step in steps):
        if not path.is_file():
            continue
        check()
        saved = load_own_record(path)
        if saved is not None:
            remove_products(saved, record, kept, context)
        remove_record(path)
