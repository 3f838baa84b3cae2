"""The phase at echo time zero: what its estimators share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, bounding_box
from bids_app.qsm.kernels import jit
from bids_app.qsm.operators.smoothing import gaussian_phase
from bids_app.qsm.params import Params, param
from bids_app.qsm.phase.parabola import parabola
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.results import OffsetResult
from bids_app.qsm.units import check_echo_times
from bids_app.qsm.unwrap.romeo import romeo


@dataclass(frozen=True)
class OffsetParams(Params):
    """Parameters of the removal of phase offsets."""

    sigma: float = param(7.0, low=0.0, high=50.0, unit="mm", doc="Gaussian smoothing of the complex offset")


@jit(parallel=True)
def _product(first, second, mask, out):  # type: ignore[no-untyped-def]
    """Geometric mean of two magnitudes, 0 outside the mask or where one is not finite."""
    for v in prange(out.size):
        value = np.float32(0)
        if mask[v]:
            value = np.sqrt(max(first[v] * second[v], np.float32(0)))
        out[v] = value if np.isfinite(value) else np.float32(0)


@jit(parallel=True)
def _subtract(phase, offset, out):  # type: ignore[no-untyped-def]
    """Difference of two phases, wrapped to (-pi, pi]; what is not finite counts as 0."""
    turn = np.float32(2 * np.pi)
    for v in prange(out.size):
        value = (phase[v] if np.isfinite(phase[v]) else np.float32(0)) - offset[v]
        value -= turn * np.rint(value / turn)
        out[v] = value if value > -np.float32(np.pi) else value + turn


def check_echoes(phase: FloatArray, echo_times: Sequence[float], least: int) -> None:
    """Raise ValueError unless there are ``least`` echoes or more, with ascending echo times."""
    if phase.ndim != 4 or phase.shape[0] < least or len(echo_times) != phase.shape[0]:
        raise ValueError(
            f"the phase offset needs at least {('no', 'one', 'two', 'three')[least]} echoes, echoes first, and an echo "
            f"time for each; got {phase.shape} and {len(echo_times)} echo times"
        )
    check_echo_times(echo_times)


def _strength(magnitude: FloatArray | None, echoes: tuple[int, int], inside: BoolArray) -> FloatArray:
    """Return the geometric mean of two echoes' magnitudes inside the mask."""
    if magnitude is None:
        return inside.astype(np.float32)
    out = np.empty(inside.shape, np.float32)
    first, second = (np.ascontiguousarray(magnitude[e], np.float32).reshape(-1) for e in echoes)
    _product(first, second, inside.reshape(-1), out.reshape(-1))
    return out


def between_echoes(
    phase: FloatArray, magnitude: FloatArray | None, echoes: tuple[int, int], mask: BoolArray | None, grid: Grid
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the unwrapped phase from one echo to another, the strength of both and where they are known."""
    first, second = echoes
    inside: BoolArray = np.isfinite(phase[first]) & np.isfinite(phase[second])
    if mask is not None:
        inside &= mask
    strength = _strength(magnitude, echoes, inside)
    difference = phase[second] - phase[first]
    return romeo(difference, inside, grid, magnitude=None if magnitude is None else strength), strength, inside


#: Length of the steps that estimate the parabola of an offset, about: longer ones have less noise.
_STEP_MM = 5.0


def smooth_offset(
    phase: FloatArray,
    difference: FloatArray,
    factor: float,
    strength: FloatArray,
    inside: BoolArray,
    grid: Grid,
    width: float,
) -> FloatArray:
    """Return phase - factor * difference, smoothed (``width``, mm) as a complex image and so continued beyond it.

    Done in the box of the mask and two sigma around it; 0 farther away. At a boundary, be it that of the mask or of
    dark bone, a mean is that of one side, which errs where the offset is steep: a parabola is subtracted before.
    """
    sigma = [width / size for size in grid.voxel_size]
    wide = [int(np.ceil(2 * s)) for s in sigma]
    box = tuple(
        slice(max(0, s.start - w), min(n, s.stop + w))
        for s, w, n in zip(bounding_box(inside), wide, inside.shape, strict=True)
    )
    rest = phase[box] - np.float32(factor) * difference[box]
    weight = np.square(strength[box], dtype=np.float32)
    weight /= max(float(weight.max()), 1e-30)
    known = np.ascontiguousarray(inside[box])
    trend = parabola(rest, weight, known, [max(1, round(_STEP_MM / size)) for size in grid.voxel_size])
    offset = np.zeros(inside.shape, np.float32)
    offset[box] = wrap(gaussian_phase(rest - trend, weight, known, sigma) + trend)
    return offset


def remove_offset(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    width: float,
) -> OffsetResult:
    """Remove the offset that the first two echoes give, smoothed over ``width`` (mm), from every echo.

    Raises
    ------
    ValueError
        For fewer than two echoes, or echo times that do not ascend.
    """
    check_echoes(phase, echo_times, 2)
    first, second = float(echo_times[0]), float(echo_times[1])
    difference, strength, inside = between_echoes(phase, magnitude, (0, 1), mask, grid)
    offset = smooth_offset(phase[0], difference, first / (second - first), strength, inside, grid, width)
    corrected = np.empty(phase.shape, np.float32)
    for echo, out in zip(phase, corrected, strict=True):
        _subtract(np.ascontiguousarray(echo, np.float32).reshape(-1), offset.reshape(-1), out.reshape(-1))
    return OffsetResult(corrected, offset)
