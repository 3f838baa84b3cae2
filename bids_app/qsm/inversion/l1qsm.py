"""Dipole inversion by total variation with an L1 data term (L1-QSM)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import Prepared, counted, note, prepare, total_variation_weight
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.admm import Problem, minimise

#: ADMM penalty of the split gradient over the weight of total variation.
_PENALTY = 40.0


@dataclass(frozen=True)
class L1QsmParams(Params):
    """Parameters of L1-QSM."""

    lambda_: float = param(0.0, low=0.0, high=10.0, unit="mm", doc="Weight of total variation; 0: from the data")
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    iterations: int = param(100, low=3, high=2000, doc="Maximum number of ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def _regularisation(problem: Prepared, chosen: float, info: Info | None) -> float:
    """Weight of total variation in mm: ``chosen``, or a quarter of the root of the weight of the squared data term."""
    weight = chosen if chosen > 0 else float(np.sqrt(total_variation_weight(problem, 0.0, info))) / 4
    note(info, regularisation=weight)
    return weight


def l1qsm(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: L1QsmParams = L1QsmParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by total variation with an L1 data term (L1-QSM).

    Minimises ||w (exp(i s D chi) - exp(i s f))||_1 / s + lambda ||grad chi||_1 with s = ``phase_scale``, by ADMM. The
    L1 norm leaves gross errors of the field as residuals: they make no streaks. The data term is that of the complex
    signal and does not see phase wraps.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : L1QsmParams
        Weight in mm, phase scale in rad/ppm, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1.
    magnitude : float32, ``grid.shape``, optional
        Not used: the weights contain it.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives lambda, the error's SD in ppm where lambda comes from the data, and the number of iterations.

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
    Milovic et al. 2022, 10.1002/mrm.28957; choice of lambda: :mod:`bids_app.qsm.inversion.spectra`.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = l1qsm(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = _regularisation(problem, params.lambda_, info)
    task = Problem(
        problem.grid,
        problem.field,
        problem.weight,
        weight,
        loss="nonlinear-l1",
        phase_scale=params.phase_scale * problem.scale,
        penalty=_PENALTY * weight,
    )
    chi = minimise(task, iterations=params.iterations, tolerance=params.tolerance, progress=counted(progress, info))
    return problem.finish(chi)


L1QSM: Inversion[L1QsmParams] = Method(
    name="l1qsm",
    kind="inversion",
    label="L1-QSM",
    function=l1qsm,
    params=L1QsmParams,
    sentence=(
        "Susceptibility was estimated by a non-linear inversion with an L1 data term and total variation (L1-QSM) "
        "[milovic2022]{parameters}."
    ),
    uses=frozenset({"weights"}),
    on_device=True,
)
