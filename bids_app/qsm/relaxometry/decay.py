"""The mono-exponential decay that every R2* method fits: parameters, result, kernel, and the noise level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Relaxation


@dataclass(frozen=True)
class RelaxationParams(Params):
    """Parameters of the R2* fits."""

    r2star_max: float = param(1000.0, low=10.0, high=1e5, unit="1/s", doc="Upper bound of R2*")
    t2star_max: float = param(
        1.0, low=0.01, high=10.0, unit="s", doc="Upper bound of T2*, which is infinite where the signal does not decay"
    )
    floor: float = param(
        3.0, low=0.0, high=20.0, doc="Echoes below this multiple of the noise, and those after them, are left out"
    )


@jit(inline="always")
def _arlo(signal, used, spacing):  # type: ignore[no-untyped-def]
    numerator = denominator = 0.0
    for e in range(used - 2):
        integral = (signal[e] + 4 * signal[e + 1] + signal[e + 2]) * (spacing / 3)  # Simpson's rule
        drop = signal[e] - signal[e + 2]
        # The integral of the decay is T2* times its drop; least squares of both sides, as in the paper.
        numerator += integral * integral + (spacing / 3) * integral * drop
        denominator += (spacing / 3) * drop * drop + integral * drop
    return denominator / numerator if numerator > 0 else 0.0


@jit(inline="always")
def _loglinear(signal, used, times):  # type: ignore[no-untyped-def]
    sw = swt = swl = swtt = swtl = 0.0
    for e in range(used):
        if signal[e] > 0:
            w, log = signal[e] * signal[e], np.log(signal[e])
            sw += w
            swt += w * times[e]
            swl += w * log
            swtt += w * times[e] * times[e]
            swtl += w * times[e] * log
    spread = sw * swtt - swt * swt
    return (swt * swl - sw * swtl) / spread if spread > 0 else 0.0


@jit(parallel=True)
def _fit(magnitude, times, mask, limits, maps):  # type: ignore[no-untyped-def]
    """``limits``: ARLO (0 or 1), largest R2*, noise power (2 sigma^2), lowest usable signal; ``maps``: [3, voxel]."""
    echoes, voxels = magnitude.shape
    arlo, most, power, floor = limits
    least = 3 if arlo > 0 else 2
    for v in prange(voxels):
        maps[0, v] = maps[1, v] = maps[2, v] = 0
        if not mask[v]:
            continue
        signal = np.empty(echoes)
        used, good = 0, True
        for e in range(echoes):
            m = np.float64(magnitude[e, v])
            good = good and np.isfinite(m)
            if used == e and (m >= floor or e < least):
                used = e + 1
            signal[e] = np.sqrt(max(m * m - power, 0.0)) if m > 0 else 0.0
        if not good:
            continue
        rate = _arlo(signal, used, times[1] - times[0]) if arlo > 0 else _loglinear(signal, used, times)
        rate = min(max(rate, 0.0), most)
        top = bottom = 0.0
        for e in range(used):
            decay = np.exp(-times[e] * rate)
            top += signal[e] * decay
            bottom += decay * decay
        maps[0, v] = rate
        maps[1, v] = 1 / rate if rate > 0 else 0.0
        maps[2, v] = top / bottom


def fit_decay(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    params: RelaxationParams,
    noise: float,
    arlo: bool,
) -> Relaxation:
    """Return R2*, T2* and S0 of every voxel of the mask, by ARLO or by a log-linear fit."""
    if magnitude.ndim != 4 or magnitude.shape[0] != len(echo_times) or magnitude.shape[1:] != mask.shape:
        raise ValueError(f"magnitude {magnitude.shape}, {len(echo_times)} echo times, mask {mask.shape} do not match")
    if len(echo_times) < 2:
        raise ValueError("R2* needs at least two echoes")
    maps = np.empty((3, mask.size), np.float32)
    flat = np.ascontiguousarray(magnitude, np.float32).reshape(len(echo_times), -1)
    limits = (float(arlo), params.r2star_max, 2 * noise**2, params.floor * noise)
    _fit(flat, np.asarray(echo_times, np.float64), np.ascontiguousarray(mask).reshape(-1), limits, maps)
    r2star, t2star, s0 = (m.reshape(mask.shape) for m in maps)
    t2star[(s0 > 0) & (r2star < 1 / params.t2star_max)] = params.t2star_max
    return Relaxation(r2star, t2star, s0)


def noise_level(magnitude: FloatArray, air: BoolArray) -> float:
    """Estimate the standard deviation of the noise from the magnitude of voxels without signal.

    The median of a Rayleigh distribution is 1.1774 sigma.

    Parameters
    ----------
    magnitude : float32, ``[x, y, z]``
        Magnitude of one echo.
    air : bool, ``[x, y, z]``
        Voxels without signal.

    Returns
    -------
    float
        Sigma in units of the magnitude; 0 where too few voxels are above zero, as on scanners that set the air to zero.
    """
    values = magnitude[air & np.isfinite(magnitude)]
    values = values[values > 0]
    return float(np.median(values)) / 1.1774 if values.size > 0.01 * air.size else 0.0
