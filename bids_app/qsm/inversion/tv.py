"""Total-variation inversions: linear, non-linear (with weak harmonics), and with a hybrid data term."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import Prepared, Progress, counted, note, prepare, total_variation_weight
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.params import Params, param
from bids_app.qsm.solvers.admm import Problem, minimise

_LAMBDA = "Weight of total variation; 0: from the data"


@dataclass(frozen=True)
class TvParams(Params):
    """Parameters of the linear total-variation inversion."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc=_LAMBDA)
    iterations: int = param(60, low=3, high=2000, doc="Most ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


@dataclass(frozen=True)
class NltvParams(Params):
    """Parameters of the non-linear total-variation inversion."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc=_LAMBDA)
    phase_scale: float = param(16.0, low=0.1, high=1000.0, unit="rad/ppm", doc="Phase of one ppm: 2 pi gamma B0 TE")
    weak_harmonics: bool = param(False, doc="Fit a nearly harmonic remnant of the background as well")
    harmonic_weight: float = param(150.0, low=1e-3, high=1e6, doc="Weight of the remnant's Laplacian in the mask")
    harmonic_penalty: float = param(3.0, low=1e-3, high=1e4, doc="ADMM penalty of the remnant")
    iterations: int = param(60, low=3, high=2000, doc="Most ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


@dataclass(frozen=True)
class HdQsmParams(Params):
    """Parameters of HD-QSM."""

    lambda_: float = param(0.0, low=0.0, high=1.0, unit="ppm mm", doc=_LAMBDA)
    first_iterations: int = param(20, low=3, high=1000, doc="Most iterations with the L1 data term")
    iterations: int = param(60, low=3, high=2000, doc="Most iterations with the L2 data term")
    outlier: float = param(6.0, low=0.5, high=100.0, doc="Residual in robust standard deviations that loses weight")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends each part")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def residual_of(problem: Prepared, chi: FloatArray) -> FloatArray:
    """Field of ``chi`` less the measured one where the weight is positive, 0 elsewhere (scaled units)."""
    residual = irfftn(rfftn(chi) * dipole_kernel(problem.grid), problem.grid.shape)
    residual -= problem.field
    residual *= problem.weight > 0
    return residual


def without_outliers(weight: FloatArray, residual: FloatArray, limit: float) -> FloatArray:
    """Weights divided by (|residual| / limit)^2 where the weighted residual exceeds ``limit`` robust SDs."""
    weighted = np.abs(weight * residual)
    inside = weighted[weight > 0]
    deviation = 1.4826 * float(np.median(inside)) if inside.size else 0.0
    if deviation <= 0:
        return weight
    return weight / np.maximum(weighted * np.float32(1 / (limit * deviation)), 1) ** 2


def tv(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TvParams = TvParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility with the smallest total variation that explains the field, by ADMM.

    Minimises 1/2 ||w (D chi - f)||^2 + lambda ||grad chi||_1. Parameters and result as in every inversion: float32
    arrays of ``grid.shape``, field in ppm, chi in ppm, zero outside the mask. ``weights`` (relative reliability,
    about 1) are w; ``magnitude`` is not used. ``info`` receives lambda, the error's SD and the iterations.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Bilgic et al. 2014, 10.1002/mrm.25029. Choice of lambda: :mod:`bids_app.qsm.inversion.spectra`.
    """
    problem = prepare(local_field_ppm, mask, grid, params.padding, weights)
    weight = total_variation_weight(problem, params.lambda_, info)
    task = Problem(problem.grid, problem.field, problem.weight, weight)
    chi = minimise(task, iterations=params.iterations, tolerance=params.tolerance, progress=counted(progress, info))
    return problem.finish(chi)


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
    forgives wraps and is robust to gross errors. Otherwise as :func:`tv`.

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


def hdqsm(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: HdQsmParams = HdQsmParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Progress | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility by total variation with a hybrid data term: L1 first, then L2.

    The L1 part resists inconsistent voxels, whose residuals it leaves large; these voxels lose weight before the L2
    part, which starts from the L1 result, removes the L1 part's noise. Otherwise as :func:`tv`.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Lambert et al. 2022, 10.1002/mrm.29218; L1 data term: Milovic et al. 2022, 10.1002/mrm.28957.
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
    trusted = without_outliers(problem.weight, residual_of(problem, first), params.outlier)
    note(info, outliers=int(np.count_nonzero(trusted < problem.weight)))
    task = replace(task, weight=trusted, regularisation=weight, loss="linear", penalty=0.0)
    chi = minimise(
        task, iterations=params.iterations, tolerance=params.tolerance, start=first, progress=lambda n, _: advance(1, n)
    )
    return problem.finish(chi)
