"""Total generalised variation: parameters, the discrete problem of a field or phase, its noise, and its solution.

What :func:`bids_app.qsm.inversion.tgv.tgv` and :mod:`bids_app.qsm.inversion.fine_detail` share. The Laplacian of the
data is explained by ``(Laplacian / 3 - (b0 . grad)^2) chi``, up to a misfit ``psi`` of the field.
"""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.spans import Spans
from bids_app.qsm.kernels.wrapped import wrapped_laplacian
from bids_app.qsm.operators.crop import Crop, clean
from bids_app.qsm.operators.laplacian import difference_weights, noise_gain
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.domain import MARGIN, Domain
from bids_app.qsm.solvers.multigrid import coarse_to_fine
from bids_app.qsm.solvers.primal_dual import Problem, State, coarsen, refine, solve

#: Longest over shortest voxel edge from which a voxel's Laplacian needs all 18 neighbours: with fewer it leaves, at
#: the object's boundary, more of the background than the tissue's own field. With other voxels the boundary is worth
#: more.
LONG = 1.7


@dataclass(frozen=True)
class TgvParams(Params):
    """Parameters of single-step TGV."""

    alpha1: float = param(0.1, low=1e-6, high=1e3, doc="Weight of the first-order term, over noise and voxel size")
    alpha0: float = param(0.3, low=1e-6, high=1e4, doc="Weight of the second-order term, over noise and voxel size^2")
    noise: float = param(0.0, low=0.0, high=10.0, unit="ppm", doc="Noise of the field (0: estimated from the data)")
    iterations: int = param(1000, low=1, high=100000, doc="Maximum number of iterations on the finest grid")
    tolerance: float = param(5e-4, low=0.0, high=0.1, doc="Relative change per iteration that ends the iteration")
    levels: int = param(3, low=1, high=6, doc="Grids, each of twice the voxel size, that are solved one after another")
    relaxation: float = param(1.8, low=1.0, high=1.99, doc="Over-relaxation")
    step_ratio: float = param(1.0, low=1e-3, high=1e3, doc="Primal over dual step size")


def field_problem(
    data: FloatArray, mask: BoolArray, weights: FloatArray | None, crop: Crop, scale: float, period: float
) -> Problem:
    """Return the fine problem: the data's Laplacian times ``scale``, and the misfit's weights with mean one."""
    size = crop.grid.voxel_size
    domain = Domain.of(np.asarray(crop.take(mask, np.bool_), bool), crop.grid, max(size) > LONG * min(size))
    values: FloatArray = np.ascontiguousarray(crop.take(clean(data, mask)), np.float32).ravel()
    strides = np.uint64(crop.grid.shape[1] * crop.grid.shape[2]), np.uint64(crop.grid.shape[2])
    laplacian: FloatArray = np.zeros(values.size, np.float32)
    second, across = (weights.astype(np.float32) for weights in difference_weights(size))
    inner = Spans.of(domain.data).argument
    wrapped_laplacian(values, domain.mask.ravel(), inner, strides, second, across, np.float32(period), laplacian)
    laplacian = domain.layout.take(laplacian.reshape(crop.grid.shape))
    laplacian *= np.float32(scale)
    if weights is None:
        return Problem(domain, laplacian, domain.layout.take(domain.mask).astype(np.float32))
    squared: FloatArray = np.square(np.asarray(crop.take(clean(weights, mask)), np.float32))
    mean = float(squared[domain.mask].mean())
    if mean <= 0:
        raise ValueError("the weights are zero everywhere in the mask")
    return Problem(domain, laplacian, domain.layout.take(np.divide(squared, mean, dtype=np.float32)))


def noise_of(problem: Problem) -> float:
    """Return the SD of white noise whose Laplacian spreads as the field's does (median absolute deviation).

    Tissue edges are few and hardly move the median; without noise it is the spread that the tissue's texture causes,
    so that the regularisation follows the scale of the data in any case.
    """
    values = problem.laplacian[problem.domain.layout.take(problem.domain.data)]
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return spread / noise_gain(problem.domain.grid.voxel_size)


def noise_of_field(field_ppm: FloatArray, mask: BoolArray, grid: Grid) -> float:
    """Return :func:`noise_of` of a field in ppm, which :class:`TgvParams` takes for a part of the same mask."""
    return noise_of(field_problem(field_ppm, mask, None, Crop.with_margin(mask, grid, MARGIN), 1.0, 0.0))


def solve_coarse_to_fine(
    problem: Problem, params: TgvParams, progress: Progress | None
) -> tuple[State, dict[str, int]]:
    """Solve the problem on coarse grids first; return the finest grid's state, and the iterations and grids used."""
    alphas, limits = _alphas(params, problem.domain.grid), (params.iterations, params.tolerance)
    done = last = total = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    def solve_grid(problem: Problem, state: State | None, level: int) -> State:
        nonlocal last, total
        total = total or params.iterations * (level + 1)  # the coarsest grid comes first
        state = State.zero(problem.domain.layout.size) if state is None else state
        last = solve(problem, state, alphas, limits, params.relaxation, params.step_ratio, tick)
        return state

    def refine_state(state: State, coarse: Problem, fine: Problem) -> State:
        return refine(state, coarse.domain, fine.domain)

    state, levels = coarse_to_fine(problem, coarsen, refine_state, solve_grid, params.levels)
    return state, {"iterations": done, "iterations_finest": last, "levels": levels}


def continue_tgv(
    start_ppm: FloatArray,
    field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    iterations: int,
    params: TgvParams = TgvParams(),
    weights: FloatArray | None = None,
) -> FloatArray:
    """Take ``iterations`` of TGV on the full grid from a map, whatever the change; arguments and result as :func:`tgv`.

    The start's values outside the mask do not count. A field without noise, harmonic to the last digit, leaves it.
    """
    crop = Crop.with_margin(mask, grid, MARGIN)
    problem = field_problem(field_ppm, mask, weights, crop, 1.0, 0.0)
    noise = params.noise or noise_of(problem)
    start = np.where(mask, start_ppm - np.float32(start_ppm.mean(where=mask, dtype=np.float64)), np.float32(0))
    if noise <= 0:
        return start
    problem.laplacian[:] *= np.float32(1 / noise)
    layout = problem.domain.layout
    state = State.zero(layout.size)
    np.multiply(layout.take(np.asarray(crop.take(start), np.float32)), np.float32(1 / noise), out=state.primal[0])
    solve(problem, state, _alphas(params, grid), (iterations, 0.0), params.relaxation, params.step_ratio, lambda: None)
    return map_of(state, problem, noise, crop, grid)


def map_of(state: State, problem: Problem, noise: float, crop: Crop, grid: Grid) -> FloatArray:
    """Return the susceptibility of a solution, in the data's unit and on the whole grid; zero outside the mask."""
    inside: FloatArray = problem.domain.layout.put(state.primal[0]) * problem.domain.mask
    inside *= np.float32(noise)
    return crop.put(inside, grid.shape)


def _alphas(params: TgvParams, grid: Grid) -> tuple[float, float]:
    """Weights of first order in mm, and of second order in mm2, of a field in units of its noise."""
    size = float(np.prod(grid.voxel_size)) ** (1 / 3)
    return params.alpha1 * size, params.alpha0 * size**2
