"""Single-step total generalised variation: from a field, or one echo's wrapped phase, to susceptibility.

The Laplacian of the data is explained by ``(Laplacian / 3 - (b0 . grad)^2) chi``: the background field is harmonic
inside the mask and drops out (to the fourth order of the voxel size: :mod:`bids_app.qsm.operators.laplacian`), and
the Laplacian of wrapped phase comes from wrapped differences of neighbours, so that neither background removal nor
unwrapping goes before. Among all explanations up to a misfit ``psi`` of the field, the one with the least ``|psi|^2 /
2 + TGV(chi)`` is found by a preconditioned, over-relaxed primal-dual iteration, on coarse grids first. The weights of
TGV follow the noise of the field and the voxel size; with ``noise = 1`` (and 1 mm voxels) they are the plain weights
in ppm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import remove_unreliable_boundary
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import tgv as tgv_kernels
from bids_app.qsm.kernels.spans import Spans
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import clean
from bids_app.qsm.operators.laplacian import difference_weights, noise_gain
from bids_app.qsm.params import Params, param
from bids_app.qsm.solvers.domain import Box, Domain
from bids_app.qsm.solvers.primal_dual import Problem, State, coarsen, refine, solve
from bids_app.qsm.units import ppm_per_hz

#: Longest over shortest voxel edge from which a voxel's Laplacian needs all 18 neighbours: with fewer it leaves, at
#: the object's rim, more of the background than the tissue's own field. With other voxels the rim is worth more.
LONG = 1.7


@dataclass(frozen=True)
class TgvParams(Params):
    """Parameters of single-step TGV."""

    alpha1: float = param(0.1, low=1e-6, high=1e3, doc="Weight of the first-order term, over noise and voxel size")
    alpha0: float = param(0.3, low=1e-6, high=1e4, doc="Weight of the second-order term, over noise and voxel size^2")
    noise: float = param(0.0, low=0.0, high=10.0, unit="ppm", doc="Noise of the field (0: estimated from the data)")
    iterations: int = param(1000, low=1, high=100000, doc="Most iterations on the finest grid")
    tolerance: float = param(5e-4, low=0.0, high=0.1, doc="Relative change per iteration that ends the iteration")
    levels: int = param(3, low=1, high=6, doc="Grids, each of twice the voxel size, that are solved one after another")
    relaxation: float = param(1.8, low=1.0, high=1.99, doc="Over-relaxation")
    step_ratio: float = param(1.0, low=1e-3, high=1e3, doc="Primal over dual step size")


def phase_to_ppm(echo_time: float, field_strength: float) -> float:
    """Return the field in ppm that turns the phase by one radian in ``echo_time`` s at ``field_strength`` T."""
    if not np.isfinite(echo_time) or echo_time <= 0:
        raise ValueError(f"the echo time must be a positive number of seconds, got {echo_time}")
    return ppm_per_hz(field_strength) / (2 * np.pi * echo_time)


def _problem(
    data: FloatArray, mask: BoolArray, weights: FloatArray | None, box: Box, scale: float, period: float
) -> Problem:
    """Return the fine problem: the data's Laplacian times ``scale``, and the misfit's weights with mean one."""
    size = box.grid.voxel_size
    domain = Domain.of(np.asarray(box.take(mask), bool), box.grid, max(size) > LONG * min(size))
    values: FloatArray = np.ascontiguousarray(box.take(clean(data, mask)), np.float32).ravel()
    strides = np.uint64(box.grid.shape[1] * box.grid.shape[2]), np.uint64(box.grid.shape[2])
    laplacian: FloatArray = np.zeros(values.size, np.float32)
    second, across = (weights.astype(np.float32) for weights in difference_weights(size))
    inner = Spans.of(domain.data).argument
    tgv_kernels.wrapped_laplacian(
        values, domain.mask.ravel(), inner, strides, second, across, np.float32(period), laplacian
    )
    laplacian = domain.layout.take(laplacian.reshape(box.grid.shape))
    laplacian *= np.float32(scale)
    if weights is None:
        return Problem(domain, laplacian, domain.layout.take(domain.mask).astype(np.float32))
    squared: FloatArray = np.square(np.asarray(box.take(clean(weights, mask)), np.float32))
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
    return noise_of(_problem(field_ppm, mask, None, Box.around(mask, grid), 1.0, 0.0))


def _unit(echo_time: float | None, field_strength: float | None) -> tuple[float, float]:
    """Return ppm per unit of the data, and the data's period (0: a field, which has none)."""
    if (echo_time is None) != (field_strength is None):
        raise ValueError("TGV takes phase with echo_time and field_strength together, or a field with neither")
    if echo_time is None or field_strength is None:
        return 1.0, 0.0
    return phase_to_ppm(echo_time, field_strength), 2 * np.pi


def _coarse_to_fine(
    problem: Problem, params: TgvParams, progress: Callable[[int, int], None] | None
) -> tuple[State, dict[str, int]]:
    """Solve the problem on coarse grids first, each the start of the next; return the finest grid's state."""
    problems = [problem]
    while len(problems) < params.levels and (coarse := coarsen(problems[-1])) is not None:
        problems.append(coarse)
    alphas = _alphas(params, problem.domain.grid)
    state = State.zero(problems[-1].domain.layout.size)
    done, total = 0, params.iterations * len(problems)

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    last = 0
    for level in range(len(problems) - 1, -1, -1):
        if level < len(problems) - 1:
            state = refine(state, problems[level + 1].domain, problems[level].domain)
        limits = params.iterations, params.tolerance
        last = solve(problems[level], state, alphas, limits, params.relaxation, params.step_ratio, tick)
    return state, {"iterations": done, "iterations_finest": last, "levels": len(problems)}


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
    box = Box.around(mask, grid)
    problem = _problem(field_ppm, mask, weights, box, 1.0, 0.0)
    noise = params.noise or noise_of(problem)
    start = np.where(mask, start_ppm - np.float32(start_ppm.mean(where=mask, dtype=np.float64)), np.float32(0))
    if noise <= 0:
        return start
    problem.laplacian[:] *= np.float32(1 / noise)
    layout = problem.domain.layout
    state = State.zero(layout.size)
    np.multiply(layout.take(np.asarray(box.take(start), np.float32)), np.float32(1 / noise), out=state.primal[0])
    solve(problem, state, _alphas(params, grid), (iterations, 0.0), params.relaxation, params.step_ratio, lambda: None)
    return _map_of(state, problem, noise, box, grid)


def _map_of(state: State, problem: Problem, noise: float, box: Box, grid: Grid) -> FloatArray:
    """Return the susceptibility of a solution, in the data's unit and on the whole grid; zero outside the mask."""
    inside: FloatArray = problem.domain.layout.put(state.primal[0]) * problem.domain.mask
    inside *= np.float32(noise)
    return box.put(inside, grid.shape)


def _alphas(params: TgvParams, grid: Grid) -> tuple[float, float]:
    """Weights of first order in mm, and of second order in mm2, of a field in units of its noise."""
    size = float(np.prod(grid.voxel_size)) ** (1 / 3)
    return params.alpha1 * size, params.alpha0 * size**2


def tgv(
    field_ppm_or_phase: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TgvParams = TgvParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
    echo_time: float | None = None,
    field_strength: float | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility in one step from a total field, or from the wrapped phase of one echo.

    The method is in the module's text: neither unwrapping nor background removal goes before.

    Parameters
    ----------
    field_ppm_or_phase : float32, ``grid.shape``
        Total (or local) field in ppm; or, with ``echo_time`` and ``field_strength``, wrapped phase in rad without
        offset at echo time zero.
    mask : bool, ``grid.shape``
        Object; the data are used where a voxel and its six neighbours lie in it (18 where voxels are long).
    grid : Grid
        Sampling.
    params : TgvParams
        Regularisation and iteration.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the field (inverse of its standard error, any scale); where it is 0 at the rim, the
        object ends.
    magnitude : ignored
        The argument is there so that all inversions are called alike.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration; less than the total is done where it converges.
    echo_time, field_strength : float, optional
        Echo time in s and main field in T, both or neither: with them the data are phase.
    info : dict, optional
        Receives ``iterations`` (of all grids), ``iterations_finest``, ``levels`` and ``noise_ppm``.

    Returns
    -------
    chi : float32, ``grid.shape``, in ppm; zero outside the mask. Its zero is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, the shapes differ, or one of echo time and field strength is missing.

    References
    ----------
    Langkammer et al. 2015, 10.1016/j.neuroimage.2015.02.041; Bredies et al. 2010, 10.1137/090769521; steps: Pock &
    Chambolle 2011, 10.1109/ICCV.2011.6126441; over-relaxation: Condat 2013, 10.1007/s10957-012-0245-9.
    """
    scale, period = _unit(echo_time, field_strength)
    mask = remove_unreliable_boundary(mask & np.isfinite(field_ppm_or_phase), weights)
    box = Box.around(mask, grid)
    problem = _problem(field_ppm_or_phase, mask, weights, box, scale, period)
    noise = params.noise or noise_of(problem)
    facts: dict[str, Any] = {"iterations": 0, "iterations_finest": 0, "noise_ppm": noise, "levels": 0}
    chi = np.zeros(grid.shape, np.float32)
    if noise > 0:  # else the field is harmonic to the last digit: nothing inside makes it
        problem.laplacian[:] *= np.float32(1 / noise)
        state, counts = _coarse_to_fine(problem, params, progress)
        chi, facts = _map_of(state, problem, noise, box, grid), facts | counts
    if info is not None:
        info |= facts
    return chi


TGV: Inversion[TgvParams] = Method(
    name="tgv",
    kind="inversion",
    label="Single-step TGV",
    function=tgv,
    params=TgvParams,
    sentence=(
        "Susceptibility was estimated in a single step from the phase with total generalised "
        "variation [langkammer2015]{parameters}."
    ),
    single_step=True,
    uses=frozenset({"weights"}),
)
