"""Quality of the echoes as they come from the scanner: signal, noise, ghosts, drift of the field, residual wraps.

Expected ranges are guides: of one simulated head (``bids_app.phantom``: Gaussian noise, no motion) and the physics
named with each function; data of a scanner may lie outside them and be good.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.mask.morphology import dilate

#: Median of the magnitude of a standard normal number.
NORMAL_MAD = 0.6744898
#: Voxels between the object and what counts as background: blurred edges and fat that is shifted.
_MARGIN = 3
#: Fewer voxels than this say nothing.
_MIN_N = 200
#: Above so many voxels every second one along each axis is enough for a median.
_MANY = 2_000_000


@jit(parallel=True)
def _diagonals(image, mask, steps, coefficients):  # type: ignore[no-untyped-def]
    """Write the mixed difference of every block within the mask, -1 elsewhere; blocks are 2 voxels wide, or 1."""
    blocks = coefficients.shape
    sx, sy, sz = steps
    scale = 1 / np.sqrt(sx * sy * sz)
    for index in prange(blocks[0]):
        i = np.int64(index)
        for j in range(blocks[1]):
            for k in range(blocks[2]):
                total, inside = 0.0, True
                for a in range(sx):
                    for b in range(sy):
                        for c in range(sz):
                            x, y, z = sx * i + a, sy * j + b, sz * k + c
                            inside &= mask[x, y, z]
                            value = image[x, y, z]
                            total += value if (a + b + c) % 2 == 0 else -value
                coefficients[i, j, k] = abs(total) * scale if inside else -1


def noise_sd(magnitude: FloatArray, mask: BoolArray) -> float | None:
    """Standard deviation of the noise inside an object, without looking at air.

    The finest diagonal Haar coefficient of a block of 2 x 2 x 2 voxels holds noise at full strength and anatomy by its
    third mixed difference alone; the median of its magnitude over the blocks inside the mask is that of the noise
    (Donoho 1995, 10.1109/18.382009). Air may be zeroed, filtered or full of ghosts and is no measure. Images that were
    interpolated by zero-filling, or smoothed, hold less noise in this coefficient, and the figure is too low for them.

    Parameters
    ----------
    magnitude : float32, ``[x, y, z]``
        One echo, any unit; finite.
    mask : bool, like ``magnitude``
        Object; the signal should be three times the noise at least (below it noise is no longer Gaussian).

    Returns
    -------
    float or None
        In the unit of ``magnitude``; None where fewer than 200 blocks lie inside or the image has no noise at all.
    """
    steps = tuple(min(2, n) for n in magnitude.shape)
    blocks = tuple(n // step for n, step in zip(magnitude.shape, steps, strict=True))
    coefficients = np.empty(blocks, np.float32)
    _diagonals(np.ascontiguousarray(magnitude, np.float32), np.ascontiguousarray(mask), steps, coefficients)
    inside = coefficients[coefficients >= 0]
    if inside.size < _MIN_N:
        return None
    return float(np.median(inside)) / NORMAL_MAD or None


def snr(magnitude: FloatArray, mask: BoolArray) -> float | None:
    """Signal-to-noise ratio of one echo: median over the object, over :func:`noise_sd`; None where there is no noise.

    Expected: 20 to 200 at the first echo, half of it and less at the last. Arguments as :func:`noise_sd`.
    """
    sd = noise_sd(magnitude, mask)
    return None if sd is None else float(np.median(magnitude[mask])) / sd


def ghost_fraction(magnitude: FloatArray, mask: BoolArray, axes: Sequence[int] = (0, 1, 2)) -> float | None:
    """Signal of a ghost half a field of view away, as a part of the object's signal; the largest over ``axes``.

    The median of the background where the object would lie if it were shifted by half the field of view, less that of
    the rest of the background, over the median of the object: the ghost-to-signal ratio (Giannelli et al. 2010,
    10.1120/jacmp.v11i4.3237), with medians, so that tissue which the mask leaves out does not count. It sees errors
    that alternate from line to line (echo-planar and multi-shot readouts, interleaved segments, periodic motion);
    motion that spreads ghosts evenly is seen by ``residual_correlation`` and the SNR instead.

    Expected: 0 to 0.01; above 0.03 a ghost can be seen. None where there is too little background, 0 where it is
    zeroed.

    Parameters
    ----------
    magnitude : float32, ``[x, y, z]``
        One echo.
    mask : bool, like ``magnitude``
        Object: every voxel with signal.
    axes : sequence of int
        Along which phase may be encoded; all where nothing is known.
    """
    background = ~dilate(mask, _MARGIN)
    every = (slice(None, None, 2 if mask.size > _MANY else 1),) * 3
    values, outside = magnitude[every], background[every]
    excesses = []
    for axis in axes:
        shifted = np.roll(mask, mask.shape[axis] // 2, axis)[every]
        ghost, rest = values[outside & shifted], values[outside & ~shifted]
        if min(ghost.size, rest.size) >= _MIN_N:
            excesses.append(float(np.median(ghost)) - float(np.median(rest)))
    signal = float(np.median(magnitude[mask])) if mask.any() else 0.0
    return max(0.0, *excesses) / signal if excesses and signal > 0 else None


@jit(parallel=True)
def _increments(phase, magnitude, field, mask, intervals, sums):  # type: ignore[no-untyped-def]
    """``sums[plane, interval]``: weighted sums of the phase beyond the field's, and weights after all intervals."""
    echoes = phase.shape[0]
    turn = 2 * np.pi
    for index in prange(mask.shape[0]):
        i = np.int64(index)
        for j in range(mask.shape[1]):
            for k in range(mask.shape[2]):
                if not mask[i, j, k]:
                    continue
                for e in range(echoes - 1):
                    beyond = phase[e + 1, i, j, k] - phase[e, i, j, k] - turn * field[i, j, k] * intervals[e]
                    beyond -= turn * np.rint(beyond / turn)
                    weight = magnitude[e, i, j, k] * magnitude[e + 1, i, j, k]
                    sums[i, e] += weight * beyond
                    sums[i, echoes - 1 + e] += weight


def field_drift(
    phase: FloatArray, magnitude: FloatArray, echo_times: Sequence[float], field_hz: FloatArray, mask: BoolArray
) -> float | None:
    """Largest difference of the object's mean field between two intervals of echoes, Hz.

    The phase gained from each echo to the next, less what the fitted field lets expect, averaged over the object with
    the magnitudes as weights. Without drift all intervals agree: phase is a line in echo time. Eddy currents, a
    readout whose polarity alternates and was not undone, breathing within the train, and a wrong echo time part them.

    Expected: below 0.5 Hz (noise averages out); remnants of eddy currents reach some Hz.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped or unwrapped phase, rad.
    magnitude : float32, like ``phase``
        Weights.
    echo_times : sequence of float
        Echo times, s.
    field_hz : float32, ``[x, y, z]``
        Fitted total field, Hz.
    mask : bool, ``[x, y, z]``
        Object.

    Returns
    -------
    float or None
        None with fewer than three echoes: two have one interval.
    """
    echoes = len(echo_times)
    if echoes < 3 or not mask.any():
        return None
    intervals = np.diff(np.asarray(echo_times, np.float64))
    sums = np.zeros((mask.shape[0], 2 * (echoes - 1)))
    _increments(phase, magnitude, field_hz, np.ascontiguousarray(mask), intervals, sums)
    total = sums.sum(axis=0)
    if not (total[echoes - 1 :] > 0).all():
        return None
    mean = total[: echoes - 1] / total[echoes - 1 :] / (2 * np.pi * intervals)
    return float(np.ptp(mean))


@jit(parallel=True)
def _jumps(phase, mask, counts):  # type: ignore[no-untyped-def]
    echoes, nx, ny, nz = phase.shape
    for index in prange(nx):
        i = np.int64(index)
        for j in range(ny):
            for k in range(nz):
                if not mask[i, j, k]:
                    continue
                for axis in range(3):
                    a, b, c = i + (axis == 0), j + (axis == 1), k + (axis == 2)
                    if a == nx or b == ny or c == nz or not mask[a, b, c]:
                        continue
                    for e in range(echoes):
                        if abs(phase[e, a, b, c] - phase[e, i, j, k]) > np.pi:
                            counts[i, j, k] += 1
                            break


def residual_wraps(unwrapped: FloatArray, mask: BoolArray) -> npt.NDArray[np.uint8]:
    """Number of neighbours (next along x, y and z) from which a voxel's unwrapped phase differs by pi or more.

    In smooth unwrapped phase there is none. Wraps that are left draw lines of them; noise without signal and fields
    that are steeper than pi in a voxel, which nothing can unwrap, count as well. object echo counts.

    Expected: below 1 of 100 pairs in a brain mask, most of them above the sinuses; more with long echoes and large
    voxels.

    Parameters
    ----------
    unwrapped : float32, ``[echo, x, y, z]``
        Unwrapped phase of the echoes, rad.
    mask : bool, ``[x, y, z]``
        Both voxels of a pair must be in it.

    Returns
    -------
    uint8, ``[x, y, z]``, 0 to 3.
    """
    counts = np.zeros(mask.shape, np.uint8)
    _jumps(np.ascontiguousarray(unwrapped, np.float32), np.ascontiguousarray(mask), counts)
    return counts
