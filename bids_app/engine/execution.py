"""Runs one step: calls its function, writes what it returned, and then its record."""

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

from bids_app.derivatives.files import Written
from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import load_own_record, record_path, remove_record, write_record
from bids_app.derivatives.scratch import scratch_folder
from bids_app.engine.cache import (
    Hashes,
    code_digest,
    code_version,
    files_of,
    fingerprint,
    parameters_of,
    path_of,
    relative_paths,
)
from bids_app.engine.memory import PeakMemory
from bids_app.engine.writer import write_product
from bids_app.errors import QsmAppError, missing_package
from bids_app.model.context import Context
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput
from bids_app.model.step_record import StepRecord

R = TypeVar("R", bound=Record)

#: ``on_event(kind, step, done, total)``; kinds are skipped, started, progress (with a solver's count), finished, failed
#: and blocked.
OnEvent = Callable[[str, str, int, int], None]

#: Raises QsmAppError where this process may not write any more.
Check = Callable[[], None]

#: Progress of a solver is passed on this often at most.
_PROGRESS_INTERVAL_S = 0.2


class _Slice:
    """The sections of the settings that a step declared; any other is a mistake in the step."""

    def __init__(self, settings: Settings, names: Sequence[str], step: str):
        self._sections = {name: getattr(settings, name) for name in names}
        self._step = step

    def __getattr__(self, name: str) -> object:
        try:
            return self.__dict__["_sections"][name]
        except KeyError:
            raise AttributeError(f"step {self.__dict__['_step']!r} does not declare that it reads {name!r}") from None


def sentence_of(error: BaseException) -> str:
    """Return the sentence that reports an error to the user."""
    if isinstance(error, QsmAppError):
        return str(error)
    if isinstance(error, MemoryError):
        return "memory ran out; use a machine with more, or fewer processes at once (--nprocs, --mem)"
    if isinstance(error, ModuleNotFoundError):
        return missing_package(error)
    return f"{type(error).__name__}: {error}"


def execute(
    step: Step[R],
    record: R,
    settings: Settings,
    context: Context,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    hashes: Hashes,
    on_event: OnEvent,
    check: Check,
    kept: Collection[str],
) -> StepRecord:
    """Run a step on its inputs, write its outputs and its record, and return the record.

    ``check`` is called before anything is written. Products of the earlier record that are not made any more are
    removed, but for those that other steps make (``kept``).

    Raises
    ------
    RuntimeError
        If the function returns other products than the step declares (a mistake in the step).
    """
    saved_at = record_path(step.name, record, context.output_dir)
    started, clock, before = datetime.now(UTC), time.perf_counter(), load_own_record(saved_at)
    # Hashed before the step reads them: what changes meanwhile makes the step run again.
    states = {name: hashes.of_input(name, path) for name, path in inputs.items()}
    read = tuple(hashes.state(path) for path in inputs.values())
    parameters = parameters_of(step, settings)
    with PeakMemory() as peak, scratch_folder(context.work_dir, f"{record.basename}_{step.name}") as scratch:
        # To the step the slice looks like the settings, of which it lacks most sections.
        view = cast("Settings", _Slice(settings, step.reads, step.name))
        progress = _throttled(step.name, on_event)
        done = step.function(StepInput(record, view, inputs, scratch, context.threads, progress))
        if set(done.outputs) != set(outputs):
            raise RuntimeError(f"step {step.name!r} promised {sorted(outputs)} and made {sorted(done.outputs)}")
        check()
        remove_record(saved_at)  # until the new record is there, outputs may be half old and half new

        def write(key: str, path: Path, output: Output) -> dict[Path, Written]:
            return write_product(key, path, output, inputs, parameters, context)

        written = _write_products(outputs, done.outputs, write, context.threads)
    made = {file: hashes.keep(file, state) for file, state in written.items()}
    if before is not None:
        remove_products(before, record, {*outputs, *kept}, context)
    saved = StepRecord(
        step=step.name,
        basename=record.basename,
        title=step.title,
        fingerprint=fingerprint(step, record, settings, states),
        parameters=parameters,
        code_version=code_version(),
        code=code_digest(step, record, settings),
        inputs={name: digest for name, digest in states.items() if digest is not None},
        outputs={key: {file.name: made[file].hash for file in files_of(key, path)} for key, path in outputs.items()},
        paths=relative_paths(outputs, context),
        files=(*read, *made.values()),
        metrics=dict(done.metrics),
        warnings=tuple(done.warnings),
        methods=tuple(done.methods),
        started=started.isoformat(),
        duration_s=round(time.perf_counter() - clock, 3),
        peak_memory_bytes=peak.bytes,
        threads=context.threads,
    )
    saved = replace(saved, results=saved.digest_of_results())
    write_record(saved_at, saved)
    return saved


def _write_products(
    outputs: Mapping[str, Path],
    content: Mapping[str, Output],
    write: Callable[[str, Path, Output], dict[Path, Written]],
    threads: int,
) -> dict[Path, Written]:
    """Write the products of a step, images at the same time, and return every file as it was written."""
    written: dict[Path, Written] = {}
    with ThreadPoolExecutor(threads) as pool:
        images = {key: pool.submit(write, key, outputs[key], content[key]) for key in outputs if _is_image(key)}
        for key, path in outputs.items():  # two tables may share a sidecar: the last one stays
            written |= images[key].result() if key in images else write(key, path, content[key])
    return written


def _is_image(key: str) -> bool:
    return PRODUCTS[key].kind == "image"


def _throttled(step: str, on_event: OnEvent) -> Callable[[int, int], None]:
    """Return the callback of a step's solvers."""
    last = -math.inf

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_INTERVAL_S:
            last = now
            on_event("progress", step, done, total)

    return progress


def remove_products(before: StepRecord, record: Record, kept: Collection[str], context: Context) -> None:
    """Remove the products of a record that are made no longer, but for those of some keys (``kept``).

    The earlier record says which products these are, and never where they lie: a file of another record, or in the
    working folder of outputs that these were copied from, stays.
    """
    staying = {file for key in kept for file in files_of(key, path_of(key, record, context))}  # may share a sidecar
    for key in (key for key in before.paths if key in PRODUCTS and key not in kept):
        for file in (file for file in files_of(key, path_of(key, record, context)) if file not in staying):
            with suppress(IsADirectoryError, PermissionError):  # no product of ours
                file.unlink(missing_ok=True)
