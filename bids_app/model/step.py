"""What a pipeline step is: declared inputs, outputs and parameters, and one function.

The engine (``bids_app.engine``) reads the declaration to decide whether a step must run, and derives from it which jobs
wait for which; the function gets paths and its own slice of the settings, and returns arrays. It never spells a file
name and never writes a product.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Never, TypeVar

import numpy as np
import numpy.typing as npt

from bids_app.model.json_values import JsonObject
from bids_app.model.records import Record
from bids_app.model.settings import Settings

R_co = TypeVar("R_co", covariant=True)
R_contra = TypeVar("R_contra", contravariant=True)
R = TypeVar("R", bound=Record)

#: Called by long solvers as ``progress(done, total)``.
Progress = Callable[[int, int], None]
#: Rows of a table: plain values, all rows with the same keys in the same order.
Rows = Sequence[Mapping[str, object]]
#: What a step reads of other records: the record and the key of its product, by the name that the function uses.
Products = Mapping[str, tuple[Record, str]]
#: Beginnings of the names of inputs that the sidecars of products do not list: the look-up table and the sidecar of
#: another product, and an image of which only the header is read.
LOOKUP, SIDECAR, HEADER = ACCOMPANYING = ("lookup:", "sidecar:", "header:")


@dataclass(frozen=True)
class Output:
    """One product as a step's function returns it, by the kind that the product table gives it.

    image: ``data`` with ``like`` or ``affine`` (a ``dseg`` has ``rows`` with ``index`` and ``name`` too);
    table: ``rows``; ``.json``: ``sidecar`` is all of it; any other extension: ``file``, which the step has written in
    ``work_dir``.
    """

    data: npt.NDArray[np.generic] | None = None
    #: Image file whose affine and header units the product takes.
    like: Path | None = None
    #: Sidecar fields beyond those that every product gets (Units, Sources, Description ... come from the table).
    sidecar: Mapping[str, object] = field(default_factory=dict)
    #: 4x4 affine of the product where no file has it (instead of ``like``).
    affine: npt.NDArray[np.floating] | None = None
    #: For tabular products.
    rows: Rows | None = None
    #: For products that the step has written to a temporary file itself (transforms); the engine moves it in place.
    file: Path | None = None


@dataclass(frozen=True)
class StepResult:
    """What a step's function returns."""

    outputs: Mapping[str, Output]  # by product key (see derivatives.names.PRODUCTS)
    #: Metrics for quality control and the report; plain JSON values.
    metrics: Mapping[str, object] = field(default_factory=dict)
    #: Sentences for the user: closing table, report and log.
    warnings: tuple[str, ...] = ()
    #: Keys of methods that really ran ("romeo", "mcpc3ds", "rts" ...), for the methods text and bibliography.
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class StepInput(Generic[R_co]):
    """What a step's function sees: it opens the files of ``inputs`` and of ``work_dir``, and no others."""

    record: R_co  # what the step runs over
    settings: Settings  # only the sections named in Step.reads
    #: Files by the names that sources, needs, needs_t1w and collects gave them, and those ACCOMPANYING them.
    inputs: Mapping[str, Path]
    work_dir: Path  # scratch of this step, removed afterwards
    threads: int
    progress: Progress | None = None

    def sidecar(self, name: str) -> JsonObject:
        """Return the content of the JSON sidecar of an input (:attr:`Step.sidecars`); empty without it."""
        path = self.inputs.get(SIDECAR + name)
        content: JsonObject = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
        return content


def _no_keys(record: object, settings: Settings) -> tuple[str, ...]:
    return ()


def _no_files(record: object, settings: Settings) -> Mapping[str, Path]:
    return {}


def _no_products(record: object, settings: Settings) -> Products:
    return {}


def _default_memory(record: object, settings: Settings) -> int:
    return 500_000_000


@dataclass(frozen=True)
class Step(Generic[R_contra]):
    """One step of the pipeline over records of one class.

    ``sources(record, settings)`` names files of the input dataset (all bytes enter the fingerprint);
    ``needs(record, settings)`` and ``makes(record, settings)`` give keys of products of earlier steps and of this one;
    ``needs_t1w(record, settings)`` gives keys of products of the run's anatomical image (``record.t1w``): the step
    cannot run without them, and ``makes`` must be empty where ``record.t1w`` is None;
    ``collects(record, settings)`` names products of other records, ``{name: (record, key)}``: those that are there
    become inputs, those that are not (a run failed) are left out;
    ``sidecars(record, settings)`` names those of its needed and collected products whose JSON sidecars it reads too
    (an input ``sidecar:NAME``); the look-up table of a segmentation always comes with it (``lookup:NAME``);
    ``headers(record, settings)`` names images of the dataset of which it reads the header alone (``header:NAME``);
    ``makers`` are the steps that make those of them that are working files: one that is gone is made again when needed;
    ``reads`` names the sections of the settings that the function may look at: exactly these enter the fingerprint;
    ``replaces`` names steps of the same record that do not run where this one does: their products, or what follows
    from them, are imported from another dataset;
    ``replaces_all`` says that no other step of the record runs where this one does, but those that make what it needs.

    ``makes`` alone decides which products there are: a step for which it is empty is skipped, and the engine refuses
    a function that returns anything else than what ``makes`` names.
    """

    name: str
    title: str
    function: Callable[[StepInput[R_contra]], StepResult]
    reads: tuple[str, ...] = ()
    sources: Callable[[R_contra, Settings], Mapping[str, Path]] = _no_files
    needs: Callable[[R_contra, Settings], tuple[str, ...]] = _no_keys
    needs_t1w: Callable[[R_contra, Settings], tuple[str, ...]] = _no_keys
    collects: Callable[[R_contra, Settings], Products] = _no_products
    headers: Callable[[R_contra, Settings], Mapping[str, Path]] = _no_files
    sidecars: Callable[[R_contra, Settings], tuple[str, ...]] = _no_keys
    # Never: steps over records of any class (Step is contravariant).
    makers: "tuple[Step[Never], ...]" = ()
    makes: Callable[[R_contra, Settings], tuple[str, ...]] = _no_keys
    replaces: tuple[str, ...] = ()
    replaces_all: bool = False
    #: Estimated peak memory of the function in bytes, from the record alone (see ``steps.participant.common.memory``).
    memory: Callable[[R_contra, Settings], int] = _default_memory

    @property
    def is_substitute(self) -> bool:
        """Whether it takes the place of other steps where it runs."""
        return self.replaces_all or bool(self.replaces)


#: The steps over records of one class, as the engine finds them: a function of a module can be sent to another process
#: by its name, which steps with functions of their own cannot.
StepList = Callable[[], Sequence[Step[R_contra]]]


@dataclass(frozen=True)
class Plan(Generic[R]):
    """The steps that run over a record, in order, and those that do not because others take their place.

    ``replaced`` are the steps whose place others take, ``left_out`` those that cannot run then: nothing makes a product
    that they need.
    """

    steps: tuple[Step[R], ...]
    replaced: tuple[Step[R], ...] = ()
    left_out: tuple[Step[R], ...] = ()


def plan(steps: Sequence[Step[R]], record: R, settings: Settings) -> Plan[R]:
    """Return which of the steps run over a record.

    A step runs if it makes something, and no other one that runs replaces it. Where steps are replaced, those that
    need one of their products which no import makes are left out.
    """
    makers = [step for step in steps if step.makes(record, settings)]
    for step in (step for step in makers if step.replaces_all):
        kept = _with_makers(step, makers, record, settings)
        return Plan(tuple(kept), tuple(other for other in makers if other not in kept))
    names = {name for step in makers for name in step.replaces}
    if not names:
        return Plan(tuple(makers))
    products: set[str] = set()
    active, left_out = [], []
    for step in (step for step in makers if step.name not in names):
        if products.issuperset(step.needs(record, settings)):
            active.append(step)
            products.update(step.makes(record, settings))
        else:
            left_out.append(step)
    return Plan(tuple(active), tuple(step for step in makers if step.name in names), tuple(left_out))


def _with_makers(last: Step[R], steps: Sequence[Step[R]], record: R, settings: Settings) -> list[Step[R]]:
    """Return a step after those of the earlier steps that make what it needs."""
    kept, needed = [last], set(last.needs(record, settings))
    for step in reversed(steps[: steps.index(last)]):
        if needed.intersection(step.makes(record, settings)):
            kept.insert(0, step)
            needed.update(step.needs(record, settings))
    return kept
