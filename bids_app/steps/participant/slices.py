"""Runs of a few slices, or of slices with wide gaps: what can be computed from each slice alone.

The field of a susceptibility reaches through the volume, so that such a run gives no susceptibility. Phase, field,
mask, R2* and SWI need no neighbour: every slice is computed as a volume of equal copies of it, in which all methods act
within the slice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bids_app.model.cohort import SLICE_STEP
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray, NumericArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.registry import SWI as SWI_METHODS
from bids_app.steps.participant.common import combined, grid_image, grid_of, like_of, memory, single_files
from bids_app.steps.participant.load import load_echoes
from bids_app.steps.participant.phase import acquisition_of
from bids_app.steps.participant.relaxometry import relaxation_keys
from bids_app.steps.participant.swi import swi_keys, swi_needs

if TYPE_CHECKING:
    from bids_app.qsm import Acquisition, Field

Array = TypeVar("Array", FloatArray, BoolArray)
#: Copies of a slice: so many that the filters of masks reach no end of the volume from the middle.
_COPIES = 9


@dataclass
class _Slice:
    """What one slice gives, in the copies' volume."""

    total: FloatArray
    magnitude: FloatArray
    mask: BoolArray
    relaxation: Mapping[str, FloatArray]
    swi: FloatArray | None
    methods: tuple[str, ...]

    def middle(self, axis: int) -> "_Slice":
        """Return the maps of one copy: of all slices together, the copies would take too much memory."""

        def one_copy(array: Array) -> Array:
            return np.take(array, [_COPIES // 2], axis=axis)

        relaxation = {key: one_copy(array) for key, array in self.relaxation.items()}
        swi = None if self.swi is None else one_copy(self.swi)
        maps = one_copy(self.total), one_copy(self.magnitude), one_copy(self.mask)
        return _Slice(*maps, relaxation, swi, self.methods)


def slice_maps(step: StepInput[GreRun]) -> StepResult:
    """Return total field, mask, R2* and SWI of every slice."""
    run = step.record
    axis = run.slice_axis
    assert axis is not None  # the step makes nothing for other runs
    magnitude, phase, notes = load_echoes(step)
    shape = phase.shape[1:]
    slices, acquisition = [], acquisition_of(run, notes[0])
    for place in range(shape[axis]):
        take = _Copies(axis, place)
        grid = replace(grid_of(run, shape), shape=take.shape(shape))
        strength = None if magnitude is None else take(magnitude, 1)
        slices.append(_one_slice(step, acquisition, take(phase, 1), strength, grid).middle(axis))

    def stacked(arrays: Sequence[NumericArray]) -> NumericArray:
        return np.concatenate(arrays, axis=axis)

    like, facts = like_of(run), {"EchoTimes": list(run.echo_times), "SliceBySlice": True}
    field_facts = facts | {"MagneticFieldStrength": run.field_strength, "PhaseScaling": notes[0]}
    combined_magnitude = stacked([single.magnitude for single in slices])
    outputs = {
        "magnitude": Output(combined_magnitude, like, facts),
        "total_field": Output(stacked([single.total for single in slices]), like, field_facts),
        "total_field_magnitude": Output(combined_magnitude, like, facts),
        "mask_brain": Output(stacked([single.mask for single in slices]), like, {"Recipe": _recipe(step.settings)}),
    }
    for key in slices[0].relaxation:
        outputs[key] = Output(stacked([single.relaxation[key] for single in slices]), like, facts)
    weighted = [single.swi for single in slices if single.swi is not None]
    if weighted:
        outputs["swi"] = Output(stacked(weighted), like, facts | {"Method": step.settings.swi.choice.method})
    methods = tuple(dict.fromkeys(name for single in slices for name in single.methods))
    return StepResult(outputs, {"slices": len(slices), "phase": list(notes)}, tuple(notes[1:]), methods)


@dataclass(frozen=True)
class _Copies:
    """Takes one slice of an image and repeats it along its axis."""

    axis: int
    place: int

    def __call__(self, image: FloatArray, leading: int = 0) -> FloatArray:
        axis = self.axis + leading
        copies: FloatArray = np.repeat(np.take(image, [self.place], axis=axis), _COPIES, axis=axis)
        return copies

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape of the copies of a volume's slice."""
        x, y, z = (_COPIES if axis == self.axis else count for axis, count in enumerate(shape))
        return x, y, z


def _one_slice(
    step: StepInput[GreRun], acquisition: "Acquisition", phase: FloatArray, magnitude: FloatArray | None, grid: Grid
) -> _Slice:
    """Return the maps of the copies of one slice; a slice without signal is 0."""
    from bids_app import qsm

    run, section = step.record, step.settings.field
    times, settings = run.echo_times, step.settings
    try:
        corrected = qsm.correct_phase(
            phase, magnitude, times, grid, acquisition=acquisition, options=section.choice, parameters=section.methods
        )
    except qsm.NoSignalError:
        return _empty(run, settings, grid)
    field = qsm.fit_total_field(
        corrected.phase, magnitude, times, grid, corrected.support, options=section.choice, parameters=section.methods
    )
    try:
        mask = _mask(field, settings, grid)
    except qsm.EmptyMaskError:
        return _empty(run, settings, grid)
    relaxation, methods = {}, [*corrected.methods, *field.methods]
    if magnitude is not None and relaxation_keys(run, settings):
        rates = qsm.r2star(
            magnitude,
            times,
            mask,
            air=field.sd == 0,
            options=settings.relaxometry.choice,
            parameters=settings.relaxometry.methods,
        )
        relaxation = {"r2star": rates.r2star, "t2star": rates.t2star, "s0": rates.s0}
        methods.append(rates.method)
    swi = None
    if _has_swi(run, settings):
        swi = _weighted(field, mask, grid, times[-1], settings)
        methods.append(SWI_METHODS[settings.swi.choice.method].key)
    return _Slice(field.total, field.magnitude, mask, relaxation, swi, tuple(methods))


def _mask(field: "Field", settings: Settings, grid: Grid) -> BoolArray:
    from bids_app import qsm

    choice = replace(settings.mask.choice, filled=_recipe(settings), two_pass=False, margin=0.0, from_anatomy=False)
    return qsm.make_masks(
        field.sd, grid, quality=field.quality, magnitude=field.magnitude, residual=field.residual, options=choice
    ).brain


def _weighted(field: "Field", mask: BoolArray, grid: Grid, echo_time: float, settings: Settings) -> FloatArray:
    method = SWI_METHODS[settings.swi.choice.method]
    params = settings.swi.of(method)
    return method.function(
        field.total, field.magnitude, mask, grid, params=params, echo_time=echo_time, chi_ppm=None
    ).swi


def _empty(run: GreRun, settings: Settings, grid: Grid) -> _Slice:
    zeros = np.zeros(grid.shape, np.float32)
    relaxation = dict.fromkeys(relaxation_keys(run, settings), zeros)
    return _Slice(zeros, zeros, zeros > 0, relaxation, zeros if _has_swi(run, settings) else None, ())


def _recipe(settings: Settings) -> str:
    """Return the recipe of the mask; the surface of a brain cannot be found in a slice, so that ``bet`` is left out."""
    from bids_app.qsm.mask.recipe import FILLED_RECIPE, OBJECT_RECIPE

    chosen = settings.mask.choice.filled
    return OBJECT_RECIPE if chosen == FILLED_RECIPE else chosen


def _has_swi(run: GreRun, settings: Settings) -> bool:
    """Return whether the run has an SWI whose method needs no susceptibility."""
    return "swi" in swi_keys(run, settings) and "chimap" not in swi_needs(run, settings)


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    if run.slice_axis is None:
        return ()
    keys = ("magnitude", "total_field", "total_field_magnitude", "mask_brain", *relaxation_keys(run, settings))
    return (*keys, "swi") if _has_swi(run, settings) else keys


SLICES = Step(
    SLICE_STEP,
    "Field, R2* and SWI of every slice",
    slice_maps,
    reads=("field", "mask", "relaxometry", "swi"),
    sources=single_files,
    headers=grid_image,
    needs=lambda run, settings: combined(run),
    makes=_makes,
    replaces_all=True,
    memory=memory(12, 4),
)
