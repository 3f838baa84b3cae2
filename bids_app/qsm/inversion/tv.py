"""Dipole inversion by total variation with a linear data term."""

from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import counted, prepare, total_variation_weight
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.admm import Problem, minimise


@dataclass(frozen=True)
class TvParams(Params):
    """Parameters of the linear total-variation inversion."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    iterations: int = param(60, low=3, high=2000, doc="Maximum number of ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def tv(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TvParams = TvParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate the susceptibility of smallest total variation that explains the field.

    Minimises 1/2 ||w (D chi - f)||^2 + lambda ||grad chi||_1 by ADMM.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : TvParams
        Weight, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives lambda, the error's SD in ppm and the number of iterations.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask; its level is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Bilgic et al. 2014, 10.1002/mrm.25029; choice of lambda: :mod:`bids_app.qsm.inversion.spectra`.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = tv(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = total_variation_weight(problem, params.lambda_, info)
    task = Problem(problem.grid, problem.field, problem.weight, weight)
    chi = minimise(task, iterations=params.iterations, tolerance=params.tolerance, progress=counted(progress, info))
    return problem.finish(chi)


TV: Inversion[TvParams] = Method(
    name="tv",
    kind="inversion",
    label="Total variation",
    function=tv,
    params=TvParams,
    sentence=("Susceptibility was estimated by inversion with total variation [bilgic2014]{parameters}."),
    uses=frozenset({"weights"}),
    on_device=True,
)
