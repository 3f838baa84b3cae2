"""R2*, T2* and S0 from the magnitude of the echoes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.geometry import BoolArray, FloatArray
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class RelaxationParams(Params):
    """Parameters of the R2* fits."""

    r2star_max: float = param(1000.0, low=10.0, high=1e5, unit="1/s", doc="Upper bound of R2*")


@dataclass(frozen=True)
class Relaxation:
    """R2* (1/s), T2* (s; 0 where R2* is 0) and S0 (units of the magnitude)."""

    r2star: FloatArray
    t2star: FloatArray
    s0: FloatArray


def _result(r2star: FloatArray, magnitude: FloatArray, times: FloatArray, mask: BoolArray, most: float) -> Relaxation:
    """Bound R2*, and fit S0 to all echoes with R2* given (linear least squares)."""
    r2star = np.clip(np.nan_to_num(r2star), 0, most).astype(np.float32)
    decay = np.exp(-times.reshape(-1, 1, 1, 1) * r2star).astype(np.float32)
    s0 = (magnitude * decay).sum(axis=0) / np.square(decay).sum(axis=0)
    r2star[~mask] = 0
    s0[~mask] = 0
    t2star = np.divide(1, r2star, out=np.zeros_like(r2star), where=r2star > 0)
    return Relaxation(r2star, t2star, s0.astype(np.float32))


def _prepare(
    magnitude: FloatArray, echo_times: Sequence[float], mask: BoolArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    if magnitude.ndim != 4 or magnitude.shape[0] != len(echo_times) or magnitude.shape[1:] != mask.shape:
        raise ValueError(f"magnitude {magnitude.shape}, {len(echo_times)} echo times, mask {mask.shape} do not match")
    if len(echo_times) < 2:
        raise ValueError("R2* needs at least two echoes")
    finite = np.isfinite(magnitude).all(axis=0)
    data = np.where(finite, magnitude, 0).astype(np.float32)
    return data, np.asarray(echo_times, np.float32), mask & finite


def r2star_loglinear(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
) -> Relaxation:
    """R2* by a line through the logarithm of the magnitude, weighted by the squared magnitude.

    Arguments and errors as :func:`r2star_arlo`.
    """
    data, times, inside = _prepare(magnitude, echo_times, mask)
    weights = np.square(data)
    logs = np.log(np.maximum(data, np.finfo(np.float32).tiny))
    t = times.reshape(-1, 1, 1, 1)
    total = np.maximum(weights.sum(axis=0), np.finfo(np.float32).tiny)
    mean_t, mean_log = (weights * t).sum(axis=0) / total, (weights * logs).sum(axis=0) / total
    covariance = (weights * (t - mean_t) * (logs - mean_log)).sum(axis=0)
    variance = (weights * np.square(t - mean_t)).sum(axis=0)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0)
    return _result(-slope, data, times, inside, params.r2star_max)


def r2star_arlo(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
) -> Relaxation:
    """R2* by auto-regression on linear operations (ARLO); needs three or more equally spaced echoes.

    Other echo trains are fitted by :func:`r2star_loglinear`, which has no such need; the caller can see from the
    echo times which of the two it is (:func:`arlo_applies`).

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude.
    echo_times : sequence of float
        Echo times in s.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere.

    Raises
    ------
    ValueError
        If shapes differ or there is one echo.

    References
    ----------
    Pei et al. 2015, 10.1002/mrm.25137.
    """
    data, times, inside = _prepare(magnitude, echo_times, mask)
    if not arlo_applies(echo_times):
        return r2star_loglinear(magnitude, echo_times, mask, params=params)
    spacing = float(times[1] - times[0])
    numerator = np.zeros(mask.shape, np.float64)
    denominator = np.zeros(mask.shape, np.float64)
    for a, b, c in zip(data[:-2], data[1:-1], data[2:], strict=True):
        integral = (a + 4 * b + c) * (spacing / 3)  # Simpson's rule over two intervals
        drop = a - c
        # The integral of the decay is T2* times its drop; least squares of both sides, as in the paper.
        numerator += np.square(integral) + (spacing / 3) * integral * drop
        denominator += (spacing / 3) * np.square(drop) + integral * drop
    t2star = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    rate = np.divide(1, t2star, out=np.zeros_like(t2star), where=t2star > 0)
    return _result(rate, data, times, inside, params.r2star_max)


def arlo_applies(echo_times: Sequence[float]) -> bool:
    """Whether there are three or more echoes with equal spacing (to 1 %)."""
    steps = np.diff(np.asarray(echo_times, np.float64))
    return len(steps) >= 2 and bool(np.all(np.abs(steps - steps[0]) <= 0.01 * abs(steps[0])))
