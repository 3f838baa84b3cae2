"""Steps of the conjugate gradients for dipole sources; as :mod:`bids_app.qsm.kernels.sources`."""

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import namespace
from bids_app.qsm.plain.spectrum import norm_squared

__all__ = ["descend", "finish_gradient", "norm_squared"]


def descend(
    solution: FloatArray,
    direction: FloatArray,
    gradient: FloatArray,
    preconditioner: FloatArray,
    factor: float,
    step: float,
) -> None:
    """Step the solution along the old direction; set direction = preconditioner gradient + factor direction."""
    solution += float(step) * direction
    direction *= float(factor)
    direction += preconditioner * gradient


def finish_gradient(
    gradient: FloatArray,
    prior: FloatArray,
    solution: FloatArray,
    direction: FloatArray,
    step: float,
    ridge: float,
    preconditioner: FloatArray,
) -> float:
    """Set gradient = prior gradient - ridge (solution + step direction); return <gradient, preconditioner gradient>."""
    xp = namespace(gradient)
    gradient *= prior
    gradient -= float(ridge) * (solution + float(step) * direction)
    return float(xp.sum(preconditioner * gradient * gradient, dtype=xp.float64))
