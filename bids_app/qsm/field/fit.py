"""What the fits of the field over echoes share: the data, the kernel, the intercept and the standard error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.operators.smoothing import gaussian_phase
from bids_app.qsm.results import FieldFit

INTERCEPT = ("auto", "smooth", "free", "zero")
INTERCEPT_DOC = "Phase at echo time zero: smooth, free in every voxel, zero (auto: smooth from 3 echoes on)"
SMOOTHING_DOC = "Gaussian smoothing of the intercept"
#: Voxels whose residual is this many times the median's do not determine the intercept, and none counts for more than
#: this many medians.
_TOLERATED, _MAX_WEIGHT = 3.0, 4.0


@jit(parallel=True)
def _fit(phase, magnitude, times, mask, offset, free, limits, maps, used):  # type: ignore[no-untyped-def]
    """Fit every voxel of the mask; ``offset`` (none or one value per voxel) is subtracted from the phases.

    ``maps`` is [5, voxel]: field (Hz), standard error for unit noise (Hz), intercept, weighted rms residual (rad), chi
    square; ``limits`` the iterations on the complex signal (0: line alone) and their tolerance; ``used`` the
    iterations of each voxel. ``magnitude`` has one echo and one voxel where all weights are equal.
    """
    echoes, voxels = phase.shape
    weighted = magnitude.shape[1] == voxels
    shifted = offset.size == voxels
    cycles = 1 / (2 * np.pi)
    for v in prange(voxels):
        for q in range(5):
            maps[q, v] = 0
        used[v] = 0
        shift = np.float64(offset[v]) if shifted else 0.0
        sw = swt = swtt = swp = swtp = 0.0
        good = mask[v]
        for e in range(echoes):
            w = np.float64(magnitude[e, v]) ** 2 if weighted else 1.0
            p = np.float64(phase[e, v]) - shift
            good = good and np.isfinite(w) and np.isfinite(p)
            sw += w
            swt += w * times[e]
            swtt += w * times[e] * times[e]
            swp += w * p
            swtp += w * times[e] * p
        if not good or sw <= 0:
            continue
        mean = swt / sw if free else 0.0
        spread = swtt - swt * mean
        if spread <= 0:
            continue
        slope = (swtp - mean * swp) / spread
        intercept = swp / sw - slope * mean if free else 0.0
        count = 0
        while count < limits[0]:
            count += 1
            # Gauss-Newton on the complex signal is a line fit to the sines of the residuals.
            g0 = g1 = 0.0
            for e in range(echoes):
                w = np.float64(magnitude[e, v]) ** 2 if weighted else 1.0
                s = w * np.sin(phase[e, v] - shift - intercept - slope * times[e])
                g0 += s
                g1 += s * times[e]
            step = (g1 - mean * g0) / spread
            slope += step
            if free:
                intercept += g0 / sw - step * mean
            if abs(step) * times[-1] < limits[1]:
                break
        chi2 = 0.0
        for e in range(echoes):
            w = np.float64(magnitude[e, v]) ** 2 if weighted else 1.0
            difference = phase[e, v] - shift - intercept - slope * times[e]
            chi2 += w * (2 - 2 * np.cos(difference) if limits[0] > 0 else difference * difference)
        maps[0, v] = slope * cycles
        maps[1, v] = cycles / np.sqrt(spread)
        maps[2, v] = shift + intercept
        maps[3, v] = np.sqrt(chi2 / sw)
        maps[4, v] = chi2
        used[v] = min(max(count, 1), 255)


@dataclass(frozen=True)
class EchoData:
    """Phase (rad), magnitude and echo times (s) to fit; shapes are checked when made."""

    unwrapped: FloatArray
    magnitude: FloatArray | None
    echo_times: Sequence[float]
    mask: BoolArray
    grid: Grid | None

    def __post_init__(self) -> None:
        shape, count = self.unwrapped.shape, len(self.echo_times)
        if len(shape) != 4 or count != shape[0] or self.mask.shape != shape[1:]:
            raise ValueError(f"phase {shape}, {count} echo times and mask {self.mask.shape} do not match")
        if self.magnitude is not None and self.magnitude.shape != shape:
            raise ValueError(f"magnitude has shape {self.magnitude.shape}, phase {shape}")


def fit_echoes(data: EchoData, kind: str, smoothing: float, limits: tuple[float, float]) -> FieldFit:
    """Fit the echoes with one ``kind`` of intercept; ``limits``: iterations on the complex signal and tolerance."""
    echoes = len(data.echo_times)
    if kind == "auto":
        kind = "zero" if echoes < 3 else "free" if data.grid is None else "smooth"
    if kind != "zero" and echoes < 2:
        raise ValueError(f"a {kind} intercept needs at least two echoes")
    if kind != "smooth":
        return _fitted(data, kind == "free", limits, None)
    if data.grid is None:
        raise ValueError("a smooth intercept needs the grid's voxel size")
    offset = _smooth(_fitted(data, True, limits, None), data.grid, smoothing)  # the first fit is not kept
    return _fitted(data, False, limits, offset)


def _fitted(data: EchoData, free: bool, limits: tuple[float, float], offset: FloatArray | None) -> FieldFit:
    """Fit a line, with an intercept of its own in every voxel or through ``offset`` (rad; None is zero)."""
    mask, echoes = data.mask, len(data.echo_times)
    weights = np.ones((1, 0), np.float32) if data.magnitude is None else _flat(data.magnitude)
    maps, used = np.empty((5, mask.size), np.float32), np.empty(mask.size, np.uint8)
    inside = np.ascontiguousarray(mask).reshape(-1)
    shift = np.empty(0, np.float32) if offset is None else offset.reshape(-1)
    _fit(
        _flat(data.unwrapped), weights, np.asarray(data.echo_times, np.float64), inside, shift, free, limits, maps, used
    )
    maps[1] *= np.sqrt(_noise_variance(maps[4][maps[1] > 0], echoes - (2 if free else 1)))
    field, sd, intercept, residual = (m.reshape(mask.shape) for m in maps[:4])
    return FieldFit(field, sd, intercept, residual, int(used.max(initial=0)))


def _smooth(fit: FieldFit, grid: Grid, width: float) -> FloatArray:
    """Return the intercept of a fit (rad), smoothed as a complex number: multiples of 2 pi do not count."""
    known = fit.sd_hz > 0
    weight = np.zeros(known.shape, np.float32)
    if not known.any():
        return weight
    weight[known] = 1 / np.square(fit.sd_hz[known])
    weight /= float(np.median(weight[known]))
    np.minimum(weight, np.float32(_MAX_WEIGHT), out=weight)
    weight[fit.residual_rad > _TOLERATED * float(np.median(fit.residual_rad[known]))] = 0
    sigma = [width / size for size in grid.voxel_size]
    return gaussian_phase(fit.intercept_rad, weight, known, sigma) * known


def _flat(echoes: FloatArray) -> FloatArray:
    return np.ascontiguousarray(echoes, np.float32).reshape(echoes.shape[0], -1)


def _noise_variance(chi2: FloatArray, freedom: int) -> float:
    """Variance of the complex noise per channel from the fits' sums of squares."""
    if freedom < 1 or chi2.size == 0:
        return 1.0
    from scipy.special import gammaincinv

    # The median of chi square; scipy.stats, which has it by name, takes longer to import than the fit to compute.
    return float(np.median(chi2) / (2 * gammaincinv(freedom / 2, 0.5)))
