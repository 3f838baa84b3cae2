"""Dipole inversion by non-linear total variation (FANSI), with weak harmonics on request."""

from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import counted, prepare, total_variation_weight
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.admm import Problem, minimise


@dataclass(frozen=True)
class NltvParams(Params):
    """Parameters of the non-linear total-variation inversion."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    weak_harmonics: bool = param(False, doc="Fit a nearly harmonic remnant of the background as well")
    harmonic_weight: float = param(150.0, low=1e-3, high=1e6, doc="Weight of the remnant's Laplacian in the mask")
    harmonic_penalty: float = param(3.0, low=1e-3, high=1e4, doc="ADMM penalty of the remnant")
    iterations: int = param(60, low=3, high=2000, doc="Maximum number of ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def nltv(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: NltvParams = NltvParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by non-linear total variation (FANSI), on request with weak harmonics (WH-QSM).

    Minimises 1/2 ||w (exp(i s D chi) - exp(i s f))||^2 / s^2 + lambda ||grad chi||_1 with s = ``phase_scale``, by
    ADMM. The data term is that of the complex signal: it does not see phase wraps and is robust to gross errors.
    With ``weak_harmonics`` a field whose Laplacian nearly vanishes in the mask is fitted as well: what the
    background removal left.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : NltvParams
        Weight, phase scale in rad/ppm, weak harmonics, stopping rule, and padding in mm.
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
    Milovic et al. 2018, 10.1002/mrm.27073; weak harmonics: Milovic et al. 2019, 10.1002/mrm.27483.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = nltv(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = total_variation_weight(problem, params.lambda_, info)
    harmonic = (params.harmonic_weight, params.harmonic_penalty) if params.weak_harmonics else None
    task = Problem(
        problem.grid,
        problem.field,
        problem.weight,
        weight,
        loss="nonlinear",
        phase_scale=params.phase_scale * problem.scale,
        harmonic=harmonic,
    )
    chi = minimise(task, iterations=params.iterations, tolerance=params.tolerance, progress=counted(progress, info))
    return problem.finish(chi)


NLTV: Inversion[NltvParams] = Method(
    name="nltv",
    kind="inversion",
    label="Non-linear TV (FANSI)",
    function=nltv,
    params=NltvParams,
    sentence=("Susceptibility was estimated by a non-linear inversion with total variation [milovic2018]{parameters}."),
    uses=frozenset({"weights"}),
    on_device=True,
)
