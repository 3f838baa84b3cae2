"""Morphology-enabled dipole inversion (MEDI)."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.inversion.edges import edge_bits
from bids_app.qsm.inversion.problem import (
    Prepared,
    counted,
    downweight_outliers,
    note,
    prepare,
    residual_of,
    total_variation_weight,
)
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.admm import Problem, minimise


@dataclass(frozen=True)
class MediParams(Params):
    """Parameters of MEDI."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    edges: float = param(0.3, low=0.0, high=0.95, doc="Share of the magnitude's differences that count as edges")
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    merit: int = param(1, low=0, high=20, doc="Times that voxels with large residuals lose weight")
    outlier: float = param(6.0, low=0.5, high=100.0, doc="Residual in robust standard deviations that loses weight")
    iterations: int = param(60, low=3, high=2000, doc="Maximum number of ADMM iterations in each part")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends each part")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def _edges(problem: Prepared, magnitude: FloatArray | None, share: float) -> npt.NDArray[np.uint8] | None:
    if magnitude is None:
        return None
    image = problem.crop.take_clean(magnitude, problem.mask)
    return edge_bits(image, problem.weight > 0, problem.grid, share)


def medi(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: MediParams = MediParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by morphology-enabled dipole inversion (MEDI).

    Minimises 1/2 ||w (exp(i s D chi) - exp(i s f))||^2 / s^2 + lambda ||M grad chi||_1, where M is 0 at the
    magnitude's edges and 1 elsewhere. Then, ``merit`` times, voxels with large residuals lose weight and the
    minimisation is repeated. The functional is the published one; it is minimised by ADMM.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : MediParams
        Weight, share of edges, phase scale in rad/ppm, stopping rule, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1.
    magnitude : float32, ``grid.shape``, optional
        Image whose edges are not penalised, of any scale; without it total variation holds everywhere.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives lambda, the error's SD in ppm, the share of edges and the number of iterations.

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
    Liu J. et al. 2012, 10.1016/j.neuroimage.2011.08.082; non-linear, merit: Liu T. et al. 2013, 10.1002/mrm.24272.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = medi(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    mask = checked_mask(mask, grid, magnitude=magnitude)
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = total_variation_weight(problem, params.lambda_, info)
    free = _edges(problem, magnitude, params.edges)
    note(info, edges=0.0 if free is None else params.edges)
    task = Problem(
        problem.grid,
        problem.field,
        problem.weight,
        weight,
        loss="nonlinear",
        phase_scale=params.phase_scale * problem.scale,
        free=free,
    )
    report, total, before = counted(progress, info), params.iterations * (params.merit + 1), 0
    chi = np.zeros_like(problem.field)
    for part in range(params.merit + 1):
        if part > 0:
            trusted = downweight_outliers(problem.weight, residual_of(problem, chi), params.outlier)
            task = replace(task, weight=trusted)
        done = [0]

        def advance(count: int, _: int, before: int = before, done: list[int] = done) -> None:
            done[0] = count
            report(before + count, total)

        chi = minimise(task, iterations=params.iterations, tolerance=params.tolerance, start=chi, progress=advance)
        before += done[0]
    return problem.finish(chi)


MEDI: Inversion[MediParams] = Method(
    name="medi",
    kind="inversion",
    label="MEDI",
    function=medi,
    params=MediParams,
    sentence=(
        "Susceptibility was estimated by morphology enabled dipole inversion (MEDI) with a non-"
        "linear data term [liu2012; liu2013]{parameters}."
    ),
    uses=frozenset({"weights", "magnitude"}),
    on_device=True,
)
