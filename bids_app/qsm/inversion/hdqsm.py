"""Dipole inversion by total variation with a hybrid data term (HD-QSM)."""

from dataclasses import dataclass, replace

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import (
    counted,
    downweight_outliers,
    note,
    prepare,
    residual_of,
    spectra_of,
    total_variation_weight,
)
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.solvers.admm import Problem, minimise


@dataclass(frozen=True)
class HdQsmParams(Params):
    """Parameters of HD-QSM."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc="Weight of total variation; 0: from the data")
    first_iterations: int = param(20, low=3, high=1000, doc="Maximum number of iterations with the L1 data term")
    iterations: int = param(60, low=3, high=2000, doc="Maximum number of iterations with the L2 data term")
    outlier: float = param(6.0, low=0.5, high=100.0, doc="Residual in robust standard deviations that loses weight")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends each part")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def hdqsm(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: HdQsmParams = HdQsmParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by total variation with a hybrid data term, L1 first and then L2 (HD-QSM).

    First minimises ||w (D chi - f)||_1 + lambda ||grad chi||_1: this part resists inconsistent voxels and leaves
    their residuals large. Voxels with large residuals lose weight. The L2 part, as
    :func:`bids_app.qsm.inversion.tv.tv`, starts from the first result and removes its noise.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : HdQsmParams
        Weight, outlier limit, stopping rule of both parts, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability w of the field, about 1.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.
    info : dict, optional
        Receives lambda, the error's SD in ppm, the number of outliers and of iterations.

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
    Lambert et al. 2022, 10.1002/mrm.29218; L1 data term: Milovic et al. 2022, 10.1002/mrm.28957.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = hdqsm(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = total_variation_weight(problem, params.lambda_, info)
    task = Problem(
        problem.grid,
        problem.field,
        problem.weight,
        float(np.sqrt(weight)) / 4,
        loss="l1",
        penalty=10 * float(np.sqrt(weight)),
    )
    report = counted(progress, info)
    done = [0, 0]
    total = params.first_iterations + params.iterations

    def advance(part: int, count: int) -> None:
        done[part] = count
        report(sum(done), total)

    first = minimise(
        task, iterations=params.first_iterations, tolerance=params.tolerance, progress=lambda n, _: advance(0, n)
    )
    noise = spectra_of(problem).noise_sd
    trusted = downweight_outliers(problem.weight, residual_of(problem, first), params.outlier, noise)
    note(info, outliers=int(np.count_nonzero(trusted < problem.weight)))
    task = replace(task, weight=trusted, regularisation=weight, loss="linear", penalty=0.0)
    chi = minimise(
        task, iterations=params.iterations, tolerance=params.tolerance, start=first, progress=lambda n, _: advance(1, n)
    )
    return problem.finish(chi)


HDQSM: Inversion[HdQsmParams] = Method(
    name="hdqsm",
    kind="inversion",
    label="HD-QSM",
    function=hdqsm,
    params=HdQsmParams,
    sentence=("Susceptibility was estimated by the hybrid data fidelity method (HD-QSM) [lambert2022]{parameters}."),
    uses=frozenset({"weights"}),
    on_device=True,
)
