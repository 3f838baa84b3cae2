"""Total field from the unwrapped phase of the echoes, with its standard error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from bids_app.qsm.geometry import BoolArray, FloatArray
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class LinearFitParams(Params):
    """Parameters of the weighted line fit."""

    intercept: str = param(
        "auto", choices=("auto", "free", "zero"), doc="Phase at echo time zero (auto: free from 3 echoes on)"
    )


@dataclass(frozen=True)
class FieldFit:
    """Field (Hz), its standard error (Hz), intercept (rad) and weighted root-mean-square residual (rad)."""

    field_hz: FloatArray
    sd_hz: FloatArray
    intercept_rad: FloatArray
    residual_rad: FloatArray


@njit(cache=True, nogil=True, parallel=True)
def _fit(phase, magnitude, times, mask, free, out):  # type: ignore[no-untyped-def]
    """Weighted line fit per voxel; ``out`` is [4, voxel]: slope (rad/s), unit variance, intercept, chi square."""
    echoes, voxels = phase.shape
    for v in prange(voxels):
        for q in range(4):
            out[q, v] = 0
        if not mask[v]:
            continue
        sw = swt = swtt = swp = swtp = 0.0
        for e in range(echoes):
            w = float(magnitude[e, v]) ** 2
            sw += w
            swt += w * times[e]
            swtt += w * times[e] * times[e]
            swp += w * phase[e, v]
            swtp += w * times[e] * phase[e, v]
        spread = swtt - swt * swt / sw if free and sw > 0 else swtt
        if sw <= 0 or spread <= 0:
            continue
        slope = (swtp - swt * swp / sw) / spread if free else swtp / swtt
        intercept = (swp - slope * swt) / sw if free else 0.0
        chi2 = 0.0
        for e in range(echoes):
            difference = phase[e, v] - intercept - slope * times[e]
            chi2 += float(magnitude[e, v]) ** 2 * difference * difference
        out[0, v] = slope
        out[1, v] = 1 / spread
        out[2, v] = intercept
        out[3, v] = chi2


def fit_linear(
    unwrapped: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: LinearFitParams = LinearFitParams(),
) -> FieldFit:
    """Fit phase = intercept + 2 pi field TE over the echoes, every echo weighted by its squared magnitude.

    Phase noise is sigma / magnitude, so that squared magnitudes are the inverse variances up to the one number
    sigma^2, which is estimated from the residuals of all voxels of the mask (their median, robust against voxels in
    which the model fails). Without degrees of freedom (one echo, or two with a free intercept) the standard error is
    known only up to a factor: sigma^2 is then 1.

    Parameters
    ----------
    unwrapped : float32, ``[echo, x, y, z]``
        Unwrapped phase in rad, consistent over echoes.
    magnitude : float32, like ``unwrapped``, optional
        Without it all echoes weigh the same.
    echo_times : sequence of float
        Echo times in s.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere.

    Raises
    ------
    ValueError
        If shapes differ, or a free intercept is asked for with one echo.

    References
    ----------
    Robinson et al. 2017, 10.1002/nbm.3601.
    """
    echoes = unwrapped.shape[0]
    if unwrapped.ndim != 4 or len(echo_times) != echoes or mask.shape != unwrapped.shape[1:]:
        raise ValueError(f"phase {unwrapped.shape}, {len(echo_times)} echo times and mask {mask.shape} do not match")
    free = params.intercept == "free" or (params.intercept == "auto" and echoes >= 3)
    if free and echoes < 2:
        raise ValueError("a free intercept needs at least two echoes")
    weights = np.ones_like(unwrapped) if magnitude is None else magnitude
    if weights.shape != unwrapped.shape:
        raise ValueError(f"magnitude has shape {weights.shape}, phase {unwrapped.shape}")
    finite = np.isfinite(unwrapped).all(axis=0) & np.isfinite(weights).all(axis=0)
    inside = mask & finite
    out = np.empty((4, mask.size), np.float64)
    _fit(
        np.ascontiguousarray(unwrapped, np.float32).reshape(echoes, -1),
        np.ascontiguousarray(weights, np.float32).reshape(echoes, -1),
        np.asarray(echo_times, np.float64),
        np.ascontiguousarray(inside).reshape(-1),
        free,
        out,
    )  # fmt: skip
    freedom = echoes - (2 if free else 1)
    fitted = inside.reshape(-1) & (out[1] > 0)
    variance = _noise_variance(out[3][fitted], freedom)
    power = np.square(np.where(inside, weights, 0), dtype=np.float64).sum(axis=0).reshape(-1)
    residual = np.sqrt(np.divide(out[3], power, out=np.zeros_like(power), where=power > 0))
    cycles = 1 / (2 * np.pi)
    maps = (out[0] * cycles, np.sqrt(variance * out[1]) * cycles, out[2], residual)
    return FieldFit(*(m.astype(np.float32).reshape(mask.shape) for m in maps))


def _noise_variance(chi2: FloatArray, freedom: int) -> float:
    """Variance of the complex noise per channel from the fits' sums of squares."""
    if freedom < 1 or chi2.size == 0:
        return 1.0
    from scipy.stats import chi2 as distribution

    return float(np.median(chi2) / distribution.median(freedom))
