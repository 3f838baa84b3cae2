"""Runs the steps of one record in order, and skips those whose record says that nothing has changed."""

import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import is_damaged, load_own_record, record_path, remove_record
from bids_app.derivatives.scratch import remove_parts, remove_quietly
from bids_app.engine.cache import (
    Hashes,
    accompanying_files,
    difference,
    files_of,
    fingerprint,
    is_consistent,
    is_intact,
    is_there,
    parameters_of,
    path_of,
    recorded_hash,
    relative_paths,
)
from bids_app.engine.chain_result import ChainResult, makers_of, t1w_of
from bids_app.engine.claims import working
from bids_app.engine.execution import Check, OnEvent, execute, sentence_of
from bids_app.engine.obsolete import OtherSteps
from bids_app.errors import OutputInUseError, QsmAppError
from bids_app.model.context import Context
from bids_app.model.records import Anatomical, Record
from bids_app.model.results import StepFailure
from bids_app.model.settings import Settings
from bids_app.model.step import HEADER, Step, plan
from bids_app.model.step_record import StepRecord
from bids_app.qsm.allocation import release_memory

#: A step that took more than so many bytes gives its memory back; the pages of others serve the next step.
_LARGE = 900_000_000
R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Record)


class Chain(Generic[R]):
    """The steps of one record.

    A step is skipped when its fingerprint is that of its record and its outputs are intact. A product in the work
    directory that is gone is made again only when a step that runs needs it. A step that fails blocks the steps that
    need its products, and no other.
    """

    def __init__(
        self,
        steps: Sequence[Step[R]],
        record: R,
        settings: Settings,
        context: Context,
        on_event: OnEvent = lambda kind, step, done, total: None,
        t1w_steps: Sequence[Step[Anatomical]] = (),
        check: Check = lambda: None,
    ):
        self.record, self.settings, self.context, self.on_event = record, settings, context, on_event
        self.check, self.t1w_steps, self.hashes = check, t1w_steps, Hashes(context.output_dir)
        planned = plan(steps, record, settings)
        self.steps, self.others = list(planned.steps), OtherSteps(steps, planned, record, context)
        self.records: dict[str, StepRecord] = {}
        self._damaged: set[str] = set()  # steps with records that are none
        for step in self.steps:
            saved = load_own_record(self._record_path(step))
            if saved is not None:
                self.records[step.name] = saved
                self.hashes.learn(saved)
            elif is_damaged(self._record_path(step)):
                self._damaged.add(step.name)
        self.makers = {key: step for step in self.steps for key in step.makes(record, settings)}
        self.result = ChainResult()
        self._broken: set[str] = set()  # products that a failed or blocked step should have made
        self._done: set[str] = set()  # steps that have run in this process

    def run(self) -> ChainResult:
        """Run what must be run, in order."""
        self.sweep()
        self.others.forget_replaced(set(self.makers), self.check)
        for step in self.steps:
            if step.name not in self._done:
                self._advance(step)
        self.result.warnings += self.others.forget_outdated(self.records, self.hashes, self.check)
        return self.result

    def verify(self) -> ChainResult:
        """Compare what has been written with its records, byte by byte: a step whose files differ has failed."""
        for step in [step for step in self.steps if step.name in self.result.ran]:
            saved, path = self.records[step.name], self._record_path(step)
            now = load_own_record(path)
            is_same = now is not None and (now.fingerprint, now.outputs) == (saved.fingerprint, saved.outputs)
            is_anothers = now is not None and not is_same
            changed = difference(saved, self._outputs(step), self.hashes) if is_same else path
            if changed is not None:
                self.result.ran.remove(step.name)
                sentence = (
                    f"{changed} does not hold what was written to it: another program has changed it, or the disk is "
                    "faulty; run the same command again"
                )
                self._fail(step, StepFailure(step.name, sentence, taken_over=is_anothers))
        return self.result

    def _fail(self, step: Step[R], failure: StepFailure) -> None:
        """Note a failure; without its record the step runs again in the next command."""
        self.result.failures.append(failure)
        self._broken.update(step.makes(self.record, self.settings))
        if not failure.taken_over:
            self._discard(step)

    def sweep(self) -> None:
        """Remove what killed processes have left half-written where this chain writes."""
        paths = {self._record_path(step) for step in self.steps} | {self._path(key) for key in self.makers}
        for folder in {path.parent for path in paths}:
            remove_parts(folder)

    def unfinished(self) -> list[Step[R]]:
        """Return the first step that must run and all after it (which may turn out to be unchanged); none: all done."""
        for number, step in enumerate(self.steps):
            if step.name not in self.records:  # whoever runs it hashes its inputs; here thousands of jobs would wait
                return self.steps[number:]
            hashes, missing = self._input_hashes(step)
            if missing or not self._is_done(step, hashes):
                return self.steps[number:]
        return []

    def take_unchanged(self) -> ChainResult:
        """Return the result of a chain in which nothing must run."""
        for step in self.steps:
            self._skip(step)
        return self.result

    def _path(self, key: str) -> Path:
        return path_of(key, self.record, self.context)

    def _record_path(self, step: Step[R]) -> Path:
        return record_path(step.name, self.record, self.context.output_dir)

    def _outputs(self, step: Step[R]) -> dict[str, Path]:
        return {key: self._path(key) for key in step.makes(self.record, self.settings)}

    def _advance(self, step: Step[R]) -> None:
        hashes, missing = self._input_hashes(step)
        if missing:
            self._block(step, missing)
        elif self._is_done(step, hashes):
            self._skip(step)
        else:
            self._execute(step)

    def _skip(self, step: Step[R]) -> None:
        self.result.skipped.append(step.name)
        self.result.warnings += self.records[step.name].warnings
        self.on_event("skipped", step.name, 0, 0)

    def _block(self, step: Step[R], missing: Sequence[str]) -> None:
        makers = dict.fromkeys(self.makers[key].name for key in missing if key in self.makers)
        others, t1w = [key for key in missing if key not in self.makers], t1w_of(self.record)
        wanted = [f"what step {name} makes" for name in makers]
        if others and t1w is not None:
            wanted.append(f"{', '.join(others)} of {t1w.basename}")
        elif others:
            wanted.append(", ".join(others))
        sentence = f"not run, because it needs {' and '.join(wanted)}"
        self._fail(step, StepFailure(step.name, sentence, blocked=True))
        self.on_event("blocked", step.name, 0, 0)

    def _discard(self, step: Step[R]) -> None:
        """Remove a step's record and what an earlier run of it has made: nothing that failed looks like a result."""
        with suppress(QsmAppError):  # what is in the place of the record counts as none
            remove_record(self._record_path(step))
        before = self.records.pop(step.name, None)
        keys = dict.fromkeys((*step.makes(self.record, self.settings), *(before.paths if before is not None else ())))
        made = [key for key in keys if key in PRODUCTS and self.makers.get(key, step).name == step.name]
        remove_quietly(file for key in made for file in files_of(key, self._path(key)))

    def _paths(self, step: Step[R]) -> dict[str, Path]:
        """Return the step's inputs by name, present or not."""
        record, settings, t1w = self.record, self.settings, t1w_of(self.record)
        products: dict[str, tuple[Record, str]] = {key: (record, key) for key in step.needs(record, settings)}
        if t1w is not None:
            products |= {key: (t1w, key) for key in step.needs_t1w(record, settings)}
        paths = {name: path_of(key, of, self.context) for name, (of, key) in products.items()}
        collected = step.collects(record, settings)
        known = {name: path_of(key, of, self.context) for name, (of, key) in collected.items()}
        paths |= {n: path for n, path in known.items() if is_there(path) or self._recorded(step, *collected[n])}
        keys = {name: key for name, (_, key) in (products | dict(collected)).items()}
        files = {name: (keys[name], path) for name, path in paths.items()}
        accompanying = accompanying_files(files, step.sidecars(record, settings))
        headers = {HEADER + name: path for name, path in step.headers(record, settings).items()}
        return {**step.sources(record, settings), **paths, **accompanying, **headers}

    def _recorded(self, step: Step[R], of: Record, key: str) -> str | None:
        """Return the hash that is recorded of another record's working file, None where it was never made."""
        return recorded_hash(key, of, makers_of(step), self.context) if PRODUCTS[key].in_work_dir else None

    def _input_hashes(self, step: Step[R]) -> tuple[dict[str, str | None], list[str]]:
        """Return the hashes of a step's inputs, and the keys of products that it needs and that are missing.

        A product in the work directory that is gone has the hash that the step which makes it has recorded.
        """
        hashes = {name: self.hashes.of_input(name, path) for name, path in self._paths(step).items()}
        missing = []
        collected = step.collects(self.record, self.settings)
        for name in (name for name in collected if name in hashes and hashes[name] is None):
            hashes[name] = self._recorded(step, *collected[name])
        for key in step.needs(self.record, self.settings):
            if key in self._broken or key not in self.makers:
                missing.append(key)
            elif hashes[key] is None:
                maker = self.records.get(self.makers[key].name)
                states = {} if maker is None else maker.outputs.get(key, {})
                hashes[key] = states.get(self._path(key).name)
        t1w = t1w_of(self.record)
        for key in step.needs_t1w(self.record, self.settings):
            recorded = None if t1w is None else recorded_hash(key, t1w, self.t1w_steps, self.context)
            if recorded is None:
                missing.append(key)
            hashes[key] = hashes.get(key) or recorded
        return hashes, missing

    def _is_done(self, step: Step[R], hashes: Mapping[str, str | None]) -> bool:
        saved = self.records.get(step.name)
        if saved is None or (self.context.force and step.name not in self._done):
            return False
        if saved.fingerprint != fingerprint(step, self.record, self.settings, hashes):
            return False
        outputs = self._outputs(step)
        if not is_consistent(saved, parameters_of(step, self.settings), relative_paths(outputs, self.context)):
            self._damaged.add(step.name)
            return False
        return is_intact(saved, outputs, self.hashes)

    def _fetch(self, step: Step[R]) -> bool:
        """Make products in the work directory that the step needs and that are gone; return whether all are there."""
        needs = step.needs(self.record, self.settings)
        for key in needs:
            maker = self.makers[key]
            if not self._path(key).is_file() and maker.name not in self._done:
                if maker.name in self.result.skipped:
                    self.result.skipped.remove(maker.name)
                self._execute(maker)
        paths, t1w = self._paths(step), t1w_of(self.record)
        lost = [key for key in step.needs_t1w(self.record, self.settings) if key in paths and not paths[key].is_file()]
        if lost and t1w is not None:
            self._remake_of(self.t1w_steps, t1w, lost)
        collected = step.collects(self.record, self.settings)
        for name in (name for name in collected if name in paths and not paths[name].is_file()):
            of, key = collected[name]
            self._remake_of(makers_of(step), of, [key])
        return not self._broken.intersection(needs)

    def _remake_of(self, steps: Sequence[Step[S]], of: S, keys: Sequence[str]) -> None:
        """Make another record's working files again; only one process does so at a time."""
        with working(self.context, of.basename, is_shared=True) as check:
            Chain(steps, of, self.settings, self.context, check=check)._remake(keys)

    def _remake(self, keys: Sequence[str]) -> None:
        for key in keys:
            if not self._path(key).is_file():
                self._execute(self.makers[key])
        for failure in self.result.failures:
            raise QsmAppError(f"{self.record.basename}: {failure.sentence}")

    def _execute(self, step: Step[R]) -> None:
        self._done.add(step.name)
        self.on_event("started", step.name, 0, 0)
        try:
            if not self._fetch(step):
                raise QsmAppError("an earlier step that it needs failed")
            saved = execute(
                step,
                self.record,
                self.settings,
                self.context,
                self._paths(step),
                self._outputs(step),
                self.hashes,
                self.on_event,
                self.check,
                self.makers.keys() - step.makes(self.record, self.settings),
            )
        except Exception as error:  # one failing step does not stop the steps that do not need it
            taken_over = isinstance(error, OutputInUseError)  # what lies there is the other command's
            self._fail(step, StepFailure(step.name, sentence_of(error), traceback.format_exc(), taken_over=taken_over))
            self.on_event("failed", step.name, 0, 0)
            return
        if saved.peak_memory_bytes > _LARGE:
            release_memory()
        self.records[step.name] = saved
        self.result.ran.append(step.name)
        if step.name in self._damaged:
            self.result.warnings.append(f"{self._record_path(step)} was damaged: the step {step.name} was run again")
        self.result.warnings += saved.warnings
        self.result.peak_bytes = max(self.result.peak_bytes, saved.peak_memory_bytes)
        self.on_event("finished", step.name, 0, 0)
