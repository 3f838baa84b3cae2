"""What a pipeline step is: declared inputs, outputs and parameters, and one function.

The engine (``bids_app.engine``) reads the declaration to decide whether a step must run; the function gets
paths and its own slice of the settings, and returns arrays. It never spells a file name and never writes a file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt

#: Called by long solvers as ``progress(done, total)``.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Output:
    """One product as a step's function returns it, by the kind that the product table gives it.

    image: ``data`` with ``like`` or ``affine`` (a ``dseg`` has ``rows`` with ``index`` and ``name`` too);
    table: ``rows``; ``.json``: ``sidecar`` is all of it; any other extension: ``file``, which the step has written in
    ``work_dir``.
    """

    data: npt.NDArray[Any] | None = None
    #: Image file whose affine and header units the product takes.
    like: Path | None = None
    #: Sidecar fields beyond those that every product gets (Units, Sources, Description ... come from the table).
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    #: 4x4 affine of the product where no file has it (instead of ``like``).
    affine: npt.NDArray[Any] | None = None
    #: For tabular products: rows of plain values, all with the same keys in the same order.
    rows: list[dict[str, Any]] | None = None
    #: For products that the step has written to a temporary file itself (transforms); the engine moves it in place.
    file: Path | None = None


@dataclass(frozen=True)
class StepResult:
    """What a step's function returns."""

    outputs: Mapping[str, Output]  # by product key (see derivatives.names.PRODUCTS)
    #: Numbers for quality control and the report; plain JSON values.
    metrics: Mapping[str, Any] = field(default_factory=dict)
    #: Sentences for the user: closing table, report and log.
    warnings: tuple[str, ...] = ()
    #: Keys of methods that really ran ("romeo", "mcpc3ds", "rts" ...), for the methods text and bibliography.
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepInput:
    """What a step's function sees."""

    record: Any  # Anatomical, GreRun or Cohort: what the step runs over
    settings: Any  # only the sections named in Step.reads: attribute access, e.g. settings.inversion
    inputs: Mapping[str, Path]  # files by the names that sources, needs, needs_t1w and collects gave them
    work_dir: Path  # scratch of this step, removed afterwards
    threads: int
    progress: Progress | None = None


def _nothing(*_: Any) -> tuple[str, ...]:
    return ()


def _no_files(*_: Any) -> Mapping[str, Path]:
    return {}


def _no_products(*_: Any) -> Mapping[str, tuple[Any, str]]:
    return {}


@dataclass(frozen=True)
class Step:
    """One step of the pipeline.

    ``sources(record, settings)`` names files of the input dataset (all bytes enter the fingerprint);
    ``needs(record, settings)`` and ``makes(record, settings)`` give keys of products of earlier steps and of this one;
    ``needs_t1w(record, settings)`` gives keys of products of the run's anatomical image (``record.t1w``): the step
    cannot run without them, and ``makes`` must be empty where ``record.t1w`` is None;
    ``collects(record, settings)`` names products of other records, ``{name: (record, key)}``: those that are there
    become inputs, those that are not (a run failed) are left out;
    ``makers`` are the steps that make those of them that are working files: one that is gone is made again when needed;
    ``reads`` names the sections of the settings that the function may look at: exactly these enter the fingerprint.
    A step for which ``makes`` is empty is skipped.
    """

    name: str
    title: str
    function: Callable[[StepInput], StepResult]
    reads: tuple[str, ...] = ()
    sources: Callable[[Any, Any], Mapping[str, Path]] = _no_files
    needs: Callable[[Any, Any], tuple[str, ...]] = _nothing
    needs_t1w: Callable[[Any, Any], tuple[str, ...]] = _nothing
    collects: Callable[[Any, Any], Mapping[str, tuple[Any, str]]] = _no_products
    makers: tuple["Step", ...] = ()
    makes: Callable[[Any, Any], tuple[str, ...]] = _nothing
    #: Estimated peak memory of the function in bytes, from the record alone (see ``steps.common.memory``).
    memory: Callable[[Any, Any], int] = lambda record, settings: 500_000_000
