"""Dipole inversion by non-linear total variation (FANSI), with weak harmonics on request."""

from dataclasses import dataclass
from typing import Any

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import Progress, counted, prepare, total_variation_weight
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.solvers.admm import Problem, minimise


@dataclass(frozen=True)
class NltvParams(Params):
    """Parameters of the non-linear total-variation inversion."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    weak_harmonics: bool = param(False, doc="Fit a nearly harmonic remnant of the background as well")
    harmonic_weight: float = param(150.0, low=1e-3, high=1e6, doc="Weight of the remnant's Laplacian in the mask")
    harmonic_penalty: float = param(3.0, low=1e-3, high=1e4, doc="ADMM penalty of the remnant")
    iterations: int = param(60, low=3, high=2000, doc="Most ADMM iterations")
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
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility by non-linear total variation (FANSI), on request with a weak harmonic remnant (WH-QSM).

    The data term is that of the complex signal, |w (exp(i s D chi) - exp(i s f))|^2 with s = ``phase_scale``, which
    forgives wraps and is robust to gross errors. Otherwise as :func:`bids_app.qsm.inversion.tv.tv`.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Milovic et al. 2018, 10.1002/mrm.27073; weak harmonics: Milovic et al. 2019, 10.1002/mrm.27483.
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
)
