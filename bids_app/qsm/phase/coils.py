"""Images of single receive coils to one image, in which the phases of the coils do not cancel."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.phase.offsets import OffsetParams, check_echoes, smooth_offset
from bids_app.qsm.unwrap.romeo import romeo

#: Gives phase (rad, wrapped) and magnitude, ``[echo, x, y, z]``, of one coil after the other; called for each pass.
Coils = Callable[[], Iterable[tuple[FloatArray, FloatArray]]]
#: Width of the Gaussian around the object's middle over which the coils' phases are made equal, mm.
_MIDDLE_MM = 5.0


@dataclass(frozen=True)
class Combined:
    """Phase (rad, wrapped) and magnitude of the echoes, coils combined."""

    phase: FloatArray
    magnitude: FloatArray


@jit(parallel=True)
def _add(phase, offset, magnitude, weight, out):  # type: ignore[no-untyped-def]
    """Add weight * magnitude * exp(i (phase - offset)) where all of it is finite."""
    for v in prange(out.size):
        angle, strength = phase[v] - offset[v], magnitude[v] * weight[v]
        if np.isfinite(angle) and np.isfinite(strength):
            out[v] += np.complex64(complex(strength * np.cos(angle), strength * np.sin(angle)))


def _flat(array: FloatArray) -> FloatArray:
    return np.ascontiguousarray(array, np.float32).reshape(-1)


def combine_coils(
    phase: FloatArray,
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    *,
    params: OffsetParams = OffsetParams(),
) -> Combined:
    """Combine the images of single receive coils.

    Every coil has a phase of its own; the phase that grows with echo time is the same for all. With two echoes and
    more the latter comes from the Hermitian inner product of the first two, summed over coils, in which the coils'
    phases cancel, and a coil's own phase is what its first echo has beyond it, smoothed (MCPC-3D-S). With a single
    echo the coils are first added with phases that are equal in the object's middle; a coil's own phase is what it has
    beyond this sum, smoothed (virtual reference coil), so that the sum's remaining phase stays in the result, which is
    smooth and goes with the background. The coils are added without their phases, weighted by their magnitudes.

    Parameters
    ----------
    phase, magnitude : float32, ``[coil, echo, x, y, z]``
        Wrapped phase in rad and magnitude of each coil; coils have about the same noise.
    echo_times : sequence of float
        Echo times in s, ascending.
    mask : bool, ``[x, y, z]``, optional
        Where the coils' phases are estimated; they are smoothly continued near it.
    grid : Grid
        Voxel size for the smoothing.

    Returns
    -------
    Combined
        ``[echo, x, y, z]``; the magnitude is that of the sum over the root of the sum of the squared sensitivities,
        where the latter are the coils' shares of the first echo.

    Raises
    ------
    ValueError
        For other than five dimensions, no echo, or echo times that do not ascend.

    References
    ----------
    Eckstein et al. 2018, 10.1002/mrm.26963; Parker et al. 2014, 10.1002/mrm.24932.
    """
    if phase.ndim != 5 or magnitude.shape != phase.shape:
        raise ValueError(f"phase and magnitude must be [coil, echo, x, y, z], got {phase.shape} and {magnitude.shape}")
    check_echoes(phase[0], echo_times, 1)
    return combine_one_by_one(lambda: zip(phase, magnitude, strict=True), echo_times, mask, grid, params=params)


def combine_one_by_one(
    coils: Coils,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    *,
    params: OffsetParams = OffsetParams(),
) -> Combined:
    """Combine coils as :func:`combine_coils` does, with the images of one coil in memory at a time.

    ``coils`` is called two times for several echoes, three times for a single one, and gives the coils in one order.
    """
    inside = np.ones(grid.shape, bool) if mask is None else mask
    if len(echo_times) > 1:
        first, second = float(echo_times[0]), float(echo_times[1])
        common, factor = _between_echoes(coils, inside, grid), first / (second - first)
    else:
        common, factor = _virtual_reference(coils, inside, grid), 1.0
    shape = (len(echo_times), *grid.shape)
    combined, power = np.zeros(shape, np.complex64), np.zeros(grid.shape, np.float32)
    for phase, magnitude in coils():
        known = inside & np.isfinite(phase[0]) & np.isfinite(magnitude[0])
        weight = np.where(known, magnitude[0], np.float32(0))
        offset = smooth_offset(
            np.where(known, phase[0], np.float32(0)), common, factor, weight, known, grid, params.sigma
        )
        power += np.square(weight)
        for echo, out in enumerate(combined):
            _add(_flat(phase[echo]), offset.reshape(-1), _flat(magnitude[echo]), _flat(weight), out.reshape(-1))
    scale = np.divide(1, np.sqrt(power), out=np.zeros_like(power), where=power > 0)
    strength = np.abs(combined)
    strength *= scale
    return Combined(np.angle(combined), strength)


def _between_echoes(coils: Coils, inside: BoolArray, grid: Grid) -> FloatArray:
    """Return the phase from the first to the second echo, unwrapped: that of all coils together, their own cancel."""
    product = np.zeros(grid.shape, np.complex64)
    for phase, magnitude in coils():
        _add(*(_flat(part) for part in (phase[1], phase[0], magnitude[0], magnitude[1])), product.reshape(-1))
    return romeo(np.angle(product), inside, grid, magnitude=np.sqrt(np.abs(product)))


def _virtual_reference(coils: Coils, inside: BoolArray, grid: Grid) -> FloatArray:
    """Return the phase of all coils' sum, each turned so that all phases are equal in the object's middle."""
    power = np.zeros(grid.shape, np.float32)
    for _, magnitude in coils():
        power += np.square(np.where(inside & np.isfinite(magnitude[0]), magnitude[0], np.float32(0)))
    middle = ndimage.center_of_mass(power)
    parts = (
        np.exp(-0.5 * ((np.arange(n) - at) * size / _MIDDLE_MM) ** 2)
        for n, at, size in zip(grid.shape, middle, grid.voxel_size, strict=True)
    )
    x, y, z = (part.astype(np.float32) for part in parts)
    near = x[:, None, None] * y[:, None] * z
    total, none = np.zeros(grid.shape, np.complex64), np.zeros(power.size, np.float32)
    for phase, magnitude in coils():
        image = np.zeros(grid.shape, np.complex64)
        _add(_flat(phase[0]), none, _flat(magnitude[0]), _flat(inside.astype(np.float32)), image.reshape(-1))
        overlap = complex(np.vdot(near, image))
        total += image * np.complex64(overlap.conjugate() / abs(overlap) if overlap else 1)
    return np.angle(total)
