"""Dipole inversion by LSQR: least squares, regularised by stopping early."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import copy_of, namespace, to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import counted, prepare
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.vectors import dot
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class LsqrParams(Params):
    """Parameters of LSQR."""

    iterations: int = param(
        50, low=1, high=1000, doc="Maximum number of iterations; fewer leave less noise and fewer streaks"
    )
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative residual of the normal equations that ends them")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def _normalise(vector: FloatArray) -> float:
    """Scale a vector to unit length in place and return the length that it had."""
    length = float(np.sqrt(np.float32(dot(vector, vector))))
    if length > 0:
        vector *= 1 / length
    return length


def lsqr(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: LsqrParams = LsqrParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by least squares with LSQR, stopped before noise and streaks grow.

    Minimises ||w (D chi - f)||, where D is the convolution with the dipole kernel, over the whole working grid. The
    bidiagonalisation of w D by Golub and Kahan gives one direction per iteration; the parts of chi that the data
    determine well come first, so the number of iterations is the regularisation.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : LsqrParams
        Stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the field (w), about 1.
    magnitude
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives the number of iterations.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Li et al. 2015, 10.1016/j.neuroimage.2014.12.043 (stopping rule); LSQR: Paige and Saunders 1982,
    10.1145/355984.355989.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = lsqr(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.07)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    dipole, weight = DipoleConvolution(problem.grid).on_device(), to_device(problem.weight)
    report = counted(progress, info)

    # Golub-Kahan bidiagonalisation: left and right vectors of unit length, their lengths beta and alpha.
    left = weight * to_device(problem.field)
    beta = _normalise(left)
    right = dipole.adjoint(weight * left)
    alpha = _normalise(right)
    chi, direction = namespace(right).zeros_like(right), copy_of(right)
    rest, diagonal, first = beta, alpha, alpha * beta
    for iteration in range(1, params.iterations + 1):
        if first <= 0 or alpha <= 0:
            break
        left = weight * dipole.field(right) - alpha * left
        beta = _normalise(left)
        right = dipole.adjoint(weight * left) - beta * right
        alpha = _normalise(right)
        # A rotation removes beta from the lower bidiagonal matrix.
        length = float(np.hypot(diagonal, beta))
        cosine, sine = diagonal / length, beta / length
        step, above, diagonal = cosine * rest, sine * alpha, -cosine * alpha
        rest *= sine
        chi += step / length * direction
        direction *= -above / length
        direction += right
        report(iteration, params.iterations)
        if abs(diagonal * rest) <= params.tolerance * first:
            break
    return problem.finish(to_host(chi))


LSQR: Inversion[LsqrParams] = Method(
    name="lsqr",
    kind="inversion",
    label="LSQR",
    function=lsqr,
    params=LsqrParams,
    sentence="Susceptibility was estimated by least squares with LSQR, stopped early [li2015; paige1982]{parameters}.",
    uses=frozenset({"weights"}),
    on_device=True,
)
