"""Records of steps that do not run now: those whose place others take, and those that read what has changed since."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import load_own_record, record_path, records_folder, remove_record
from bids_app.engine.cache import Hashes, files_of, path_of
from bids_app.engine.execution import Check, remove_products
from bids_app.model.context import Context
from bids_app.model.records import Record
from bids_app.model.step import Plan, Step
from bids_app.model.step_record import StepRecord

R = TypeVar("R", bound=Record)

#: How the places of products begin.
_PRODUCTS = ("sub-", "tpl-", "group_")


class OtherSteps(Generic[R]):
    """The steps over a record that do not run now, as far as an earlier command has run them.

    What they have made stays while all files that it was made from are the same: a command without regions leaves the
    tables of the one before. It goes when one of them has changed, or when another step takes their place.
    """

    def __init__(self, steps: Sequence[Step[R]], planned: Plan[R], record: R, context: Context):
        self._record, self._context = record, context
        recorded = _recorded(record, context)
        absent = [step for step in steps if step not in planned.steps and self._path(step.name).name in recorded]
        taken = (*planned.replaced, *planned.left_out)
        self._replaced = [step.name for step in absent if step.is_substitute or step in taken]
        self._left = [step.name for step in absent if step.name not in self._replaced]

    def _path(self, name: str) -> Path:
        return record_path(name, self._record, self._context.output_dir)

    def forget_replaced(self, kept: Collection[str], check: Check) -> None:
        """Remove what belongs to another plan, but for products that other steps make (``kept``).

        These are imports that are no more, and steps that one replaces.
        """
        for name in self._replaced:
            self._forget(name, kept, check)

    def outdated(self, records: Mapping[str, StepRecord], hashes: Hashes) -> list[str]:
        """Return the other steps that have read what is changed now; ``records`` are those of the steps that run."""
        made = {key: states for saved in records.values() for key, states in saved.outputs.items()}
        return [name for name in self._left if self._is_outdated(name, made, hashes)]

    def forget_outdated(self, records: Mapping[str, StepRecord], hashes: Hashes, check: Check) -> list[str]:
        """Remove what the other steps have made of files that have changed since, and return a warning for each."""
        kept = {key for saved in records.values() for key in saved.outputs}
        warnings = []
        while outdated := self.outdated(records, hashes):  # what was made from them is outdated next
            for name in outdated:
                self._forget(name, kept, check)
                self._left.remove(name)
                warnings.append(f"what an earlier command made by the step {name} is removed: it belongs to other maps")
        return warnings

    def _is_outdated(self, name: str, made: Mapping[str, Mapping[str, str]], hashes: Hashes) -> bool:
        saved = load_own_record(self._path(name))
        if saved is None:
            return True
        hashes.learn(saved)
        if any(key in made and digest not in made[key].values() for key, digest in saved.inputs.items()):
            return True
        products = {f for key in saved.paths if key in PRODUCTS for f in files_of(key, self._place(key))}
        for state in saved.files:
            place = os.path.normpath(state.path)  # relative to the outputs
            path = self._context.output_dir / place
            if path in products:
                continue
            is_product = place.startswith(_PRODUCTS)  # working files go when nobody needs them
            now = hashes.of(Path(os.path.normpath(path)))
            if now != state.hash and (now is not None or is_product):
                return True
        return False

    def _place(self, key: str) -> Path:
        return path_of(key, self._record, self._context)

    def _forget(self, name: str, kept: Collection[str], check: Check) -> None:
        check()
        saved = load_own_record(self._path(name))
        if saved is not None:
            remove_products(saved, self._record, kept, self._context)
        remove_record(self._path(name))


def _recorded(record: Record, context: Context) -> frozenset[str]:
    """Return the names of all records of a participant's session."""
    try:
        return frozenset(os.listdir(records_folder(record.entities, context.output_dir)))  # noqa: PTH208 - names alone
    except OSError:
        return frozenset()
