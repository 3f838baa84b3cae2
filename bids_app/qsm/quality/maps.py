"""Quality of what is made of the echoes: reliability of the field, background left at the boundary, streaks in the map.

Expected ranges are guides: of one simulated head (``bids_app.phantom``: Gaussian noise, no motion) and the physics
named with each function; data of a scanner may lie outside them and be good.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import relative_reliability
from bids_app.qsm.grid import Grid, bounding_box
from bids_app.qsm.kernels import jit
from bids_app.qsm.mask.morphology import erode
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import rfftn
from bids_app.qsm.quality.echoes import NORMAL_MAD

#: Weight below which a voxel counts as unreliable.
UNRELIABLE = 0.5
#: Thickness of the boundary, and depth at which the core begins, mm.
RIM_MM, CORE_MM = 4.0, 10.0
#: Kernel magnitude below which k-space counts as cone, above which as outside it.
CONE, OUTSIDE = 0.07, 0.2
#: Structures larger than this say nothing of streaks, mm.
_LARGEST_MM = 40.0
#: Fewer voxels than this say nothing.
_MIN_N = 200
#: Medians and fractions are those of every n-th voxel: so many estimate them to a quarter of a percent of the spread.
_MEDIAN_OF = 1 << 18
#: Residuals of a fit without degrees of freedom are rounding errors.
_ROUNDING_RAD = 1e-5


@dataclass(frozen=True)
class FieldQuality:
    """Numbers of a field fit over its mask; None where the number of echoes leaves nothing to estimate them from."""

    unreliable_fraction: float
    error_hz: float | None
    residual_rad: float | None
    residual_correlation: float | None


def robust_sd(values: FloatArray) -> float:
    """Standard deviation of the normal distribution that has the same median absolute deviation."""
    some = values[:: max(1, values.size // _MEDIAN_OF)]
    return float(np.median(np.abs(some - np.median(some)))) / NORMAL_MAD


@jit(parallel=True)
def _neighbours(ratio, mask, sums):  # type: ignore[no-untyped-def]
    """``sums[plane]``: pairs, sums of both values, of their squares and of their products."""
    nx, ny, nz = mask.shape
    for index in prange(nx):
        i = np.int64(index)
        for j in range(ny):
            for k in range(nz):
                if not mask[i, j, k]:
                    continue
                for axis in range(3):
                    a, b, c = i + (axis == 0), j + (axis == 1), k + (axis == 2)
                    if a < nx and b < ny and c < nz and mask[a, b, c]:
                        p, q = ratio[i, j, k], ratio[a, b, c]
                        sums[i, 0] += 1
                        sums[i, 1] += p
                        sums[i, 2] += q
                        sums[i, 3] += p * p
                        sums[i, 4] += q * q
                        sums[i, 5] += p * q


def neighbour_correlation(image: FloatArray, mask: BoolArray) -> float | None:
    """Pearson's correlation of all pairs of next neighbours in a mask; None where nothing varies."""
    sums = np.zeros((mask.shape[0], 6))
    _neighbours(image, np.ascontiguousarray(mask), sums)
    n, p, q, pp, qq, pq = sums.sum(axis=0)
    if n < _MIN_N:
        return None
    spread = (pp - p * p / n) * (qq - q * q / n)
    return float((pq - p * q / n) / np.sqrt(spread)) if spread > 0 else None


def field_quality(sd_hz: FloatArray, residual_rad: FloatArray, mask: BoolArray) -> FieldQuality:
    """Numbers of a field fit over an object.

    * ``unreliable_fraction``: part of the voxels whose weight
    (:func:`bids_app.qsm.field.reliability.reliability_weights`) is
      below one half: the standard error is twice the median voxel's, or the residual is six times what it lets expect.
      Expected: 0.02 to 0.2; bleeding, dropout above the sinuses and motion raise it.
    * ``error_hz``: median standard error, Hz. Expected: 0.05 to 0.5 Hz at 3 T: noise over signal, over 2 pi and
      the spread of the echo times (10.1002/nbm.3601).
    * ``residual_rad``: median of the weighted rms residual. Expected: near 1 / SNR of the echoes, 0.01 to 0.1 rad.
    * ``residual_correlation``: correlation of next neighbours' residuals, each over its standard error and cut at three
      medians. Noise of neighbours is independent: 0. Whatever is wrong with the model is smooth over some voxels:
      motion or breathing between echoes, flow, fat, wraps, and interpolation of the images. Expected: 0 to 0.2.

    Parameters
    ----------
    sd_hz : float32, ``[x, y, z]``
        Standard error of the total field, Hz; 0 where there is no fit.
    residual_rad : float32, ``[x, y, z]``
        Weighted root-mean-square residual, rad.
    mask : bool, ``[x, y, z]``
        Object, not empty.
    """
    places = np.flatnonzero(mask)
    places = places[:: max(1, places.size // _MEDIAN_OF)]
    sd, residuals = sd_hz.ravel()[places], residual_rad.ravel()[places]
    some = (sd > 0) & np.isfinite(sd)
    weights = np.full(sd.shape, 0 if some.any() else 1, np.float32)
    if some.any():
        weights[some], _ = relative_reliability(sd[some], residuals[some])
    unreliable = float(np.mean(weights < UNRELIABLE))
    residual = float(np.median(residuals[some])) if some.any() else 0.0
    if residual <= _ROUNDING_RAD:
        return FieldQuality(unreliable, None, None, None)
    known = mask & (sd_hz > 0)
    ratio = np.divide(residual_rad, sd_hz, out=np.zeros_like(sd_hz), where=known)
    np.minimum(ratio, np.float32(3 * np.median(residuals[some] / sd[some])), out=ratio)
    return FieldQuality(unreliable, float(np.median(sd[some])), residual, neighbour_correlation(ratio, known))


def boundary_ratio(local: FloatArray, mask: BoolArray, grid: Grid) -> float | None:
    """Spread (robust SD) of the local field in the outer 4 mm of its mask over that deeper than 10 mm.

    Background that was not removed decays from the boundary inwards. Anatomy at the boundary, cortex and veins, has
    about the spread of the core. Expected: 0.7 to 2; above 3 the background removal or the mask deserves a look.

    Parameters
    ----------
    local : float32, ``[x, y, z]``
        Local field, any unit.
    mask : bool, like ``local``
        Where it is valid.
    grid : Grid
        Sampling; depth is counted in voxels of the mean edge length.

    Returns
    -------
    float or None
        None where the object has no core.
    """
    edge = grid.voxel_volume ** (1 / 3)
    box = bounding_box(mask, 1)
    inside, field = mask[box], local[box]
    depth = max(1, round(RIM_MM / edge))
    deeper = erode(inside, depth)
    core = erode(deeper, max(1, round(CORE_MM / edge)) - depth) if CORE_MM > RIM_MM else deeper
    boundary = inside & ~deeper
    if min(np.count_nonzero(core), np.count_nonzero(boundary)) < _MIN_N:
        return None
    spread = robust_sd(field[core])
    return robust_sd(field[boundary]) / spread if spread > 0 else None


@jit(parallel=True)
def _cone_sums(spectrum, kernel, axes, width, limits, sums):  # type: ignore[no-untyped-def]
    """``sums[plane, shell]``: samples and power in the cone, samples and power outside it."""
    cone, outside, smallest = limits
    kx, ky, kz = axes
    last = sums.shape[1] - 1
    for index in prange(spectrum.shape[0]):
        i = np.int64(index)
        for j in range(spectrum.shape[1]):
            for k in range(spectrum.shape[2]):
                radius = np.sqrt(kx[i] ** 2 + ky[j] ** 2 + kz[k] ** 2)
                strength = abs(kernel[i, j, k])
                if radius < smallest or cone <= strength < outside:
                    continue
                value = spectrum[i, j, k]
                power = value.real * value.real + value.imag * value.imag
                shell = min(last, np.int64(radius / width))
                where = 0 if strength < cone else 2
                sums[i, shell, where] += 1
                sums[i, shell, where + 1] += power


def streak_ratio(chi: FloatArray, mask: BoolArray, grid: Grid) -> float | None:
    """Power of a susceptibility map in the cone where the dipole kernel is small, over that outside it.

    Nothing is measured in the cone (|D| < 0.07): noise and errors of the field come out amplified there and are seen as
    streaks at the magic angle. Anatomy knows no cone, so both powers, compared in shells of |k| and summed, should be
    alike. No truth is needed; the balance was used for choosing a weight by Milovic et al. 2021, 10.1002/mrm.28435.

    Expected: 0.3 to 1.3. More: streaks. Much less: regularised so strongly that the cone is empty, contrast is lost.

    Parameters
    ----------
    chi : float32, ``[x, y, z]``
        Susceptibility, any unit.
    mask : bool, like ``chi``
        Where it is valid, not empty.
    grid : Grid
        Sampling and direction of the main field.

    Returns
    -------
    float or None
        None where the map is constant.
    """
    box = bounding_box(mask, 1)
    inside = mask[box]
    shape = tuple(scipy.fft.next_fast_len(n, real=True) for n in inside.shape)
    part = np.zeros(shape, np.float32)
    corner = tuple(slice(0, n) for n in inside.shape)
    part[corner] = np.where(inside, chi[box] - np.float32(chi[mask].mean()), 0)
    small = Grid(shape, grid.voxel_size, grid.b0_dir)
    axes = [scipy.fft.fftfreq(n, d).astype(np.float32) for n, d in zip(shape, grid.voxel_size, strict=True)]
    axes[2] = np.abs(axes[2][: shape[2] // 2 + 1])
    width = max(1 / (n * d) for n, d in zip(shape, grid.voxel_size, strict=True))
    # The sphere that every direction reaches: beyond it shells have corners alone.
    shells = max(1, int(min(0.5 / d for d in grid.voxel_size) / width))
    sums = np.zeros((shape[0], shells + 1, 4))
    _cone_sums(rfftn(part), dipole_kernel(small), tuple(axes), width, (CONE, OUTSIDE, 1 / _LARGEST_MM), sums)
    n_in, in_cone, n_out, outside = sums.sum(axis=0)[:-1].T
    both = (n_in > 0) & (n_out > 0)
    expected = float(np.sum(outside[both] * n_in[both] / n_out[both]))
    return float(np.sum(in_cone[both])) / expected if expected > 0 else None


__all__ = ["FieldQuality", "boundary_ratio", "field_quality", "neighbour_correlation", "robust_sd", "streak_ratio"]
