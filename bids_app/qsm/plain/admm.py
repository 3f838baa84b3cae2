"""Steps of the ADMM with a spatially weighted data term; as :mod:`bids_app.qsm.kernels.admm`."""

import math

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.device import namespace
from bids_app.qsm.kernels.admm import NEWTON_STEPS, TANGENT_STEPS


def fit_data(
    image: FloatArray, dual: FloatArray, field: FloatArray, weight: FloatArray, penalty: float, kind: int, scale: float
) -> None:
    """Take the proximal step of the data term: ``image`` becomes 2 y - v and ``dual`` becomes v - y.

    v = image + dual, and y minimises weight^2 loss(y - field) + penalty/2 (y - v)^2; ``kind`` is the loss.
    """
    penalty, scale = float(penalty), float(scale)
    value = image + dual
    if kind == 0:
        fitted = _squares(value, field, weight, penalty)
    elif kind == 1:
        fitted = _sines(value, field, weight, penalty, scale)
    else:
        xp = namespace(image)
        turn = 2 * math.pi / scale
        wraps = turn * xp.round((value - field) / turn) if kind == 3 else 0.0
        fitted = field + wraps + _shrunk(value - field - wraps, weight, penalty, scale if kind == 3 else 0.0)
    image[...] = 2 * fitted - value
    dual[...] = value - fitted


def _squares(value: FloatArray, field: FloatArray, weight: FloatArray, penalty: float) -> FloatArray:
    squared = weight * weight
    return (squared * field + penalty * value) / (squared + penalty)


def _sines(value: FloatArray, field: FloatArray, weight: FloatArray, penalty: float, scale: float) -> FloatArray:
    """Minimise the squared difference of the complex signals, by Newton's steps from the linear solution."""
    xp = namespace(value)
    squared, fitted = weight * weight, _squares(value, field, weight, penalty)
    for _ in range(NEWTON_STEPS):
        angle = scale * (fitted - field)
        slope = squared * xp.sin(angle) / scale + penalty * (fitted - value)
        fitted -= slope / (squared * xp.clip(xp.cos(angle), 0.0, None) + penalty)
    return fitted


def _shrunk(difference: FloatArray, weight: FloatArray, penalty: float, scale: float) -> FloatArray:
    """Shrink by weight / penalty; with a ``scale`` by that times the cosine of half the phase error."""
    xp = namespace(difference)
    far = xp.abs(difference)
    near = far
    for _ in range(TANGENT_STEPS if scale else 1):
        near = xp.clip(far - weight * (xp.cos(scale * near / 2) if scale else 1.0) / penalty, 0.0, None)
    return xp.where(difference > 0, near, -near)


def combine(
    spectrum: ComplexArray,
    data: ComplexArray,
    kernel: FloatArray,
    laplacian: FloatArray,
    data_penalty: float,
    penalty: float,
    ridge: float,
) -> None:
    """Solve the normal equations: chi into ``data``, its field's spectrum into ``spectrum`` (held grad^T (z - u))."""
    xp = namespace(spectrum)
    data_penalty, penalty, ridge = float(data_penalty), float(penalty), float(ridge)
    below = data_penalty * kernel * kernel + penalty * laplacian + ridge
    share = xp.where(below > 0, 1 / xp.where(below > 0, below, 1.0), 0.0)
    data *= data_penalty * kernel
    data += penalty * spectrum
    data *= share
    spectrum[...] = data * kernel
