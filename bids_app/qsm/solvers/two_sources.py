"""Joint fit of a local field and of a relaxation map by two non-negative sources: one ADMM for every such method."""

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.kernels.spectrum import change_of
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.split_gradient import SplitGradient


@dataclass
class TwoSourceProblem:
    """What the ADMM minimises over the magnitudes p, n >= 0 of both sources, all on the (padded) working grid.

    1/2 ||weight (D (p - n) - field)||^2 + 1/2 ||sqrt(rate_weight) (p + ratio n - rate)||^2
    + 1/2 ||sqrt(prior_weight) (p - prior)||^2 + regularisation (||grad p||_1 + ||grad n||_1).

    ``field``, ``rate``, p, n in one unit (ppm over a scale); p = n = 0 outside ``inside``. ``ratio`` is the relaxivity
    of the diamagnetic source over that of the paramagnetic one. ``free`` marks edges that total variation spares.
    """

    grid: Grid
    field: FloatArray
    weight: FloatArray
    rate: FloatArray
    rate_weight: FloatArray
    ratio: FloatArray
    prior: FloatArray
    prior_weight: FloatArray
    inside: npt.NDArray[np.bool_]
    regularisation: float
    free: npt.NDArray[np.uint8] | None = None


@jit(inline="always")
def _two(v, c, rate, k, prior, m, p, n):  # type: ignore[no-untyped-def]
    """Minimise v/2 (a + c b - rate)^2 + k/2 (a - prior)^2 + m/2 ((a - p)^2 + (b - n)^2) over a, b >= 0."""
    aa, ab, bb = v + k + m, v * c, v * c * c + m
    ra, rb = v * rate + k * prior + m * p, v * c * rate + m * n
    determinant = aa * bb - ab * ab
    a, b = (bb * ra - ab * rb) / determinant, (aa * rb - ab * ra) / determinant
    zero = np.float32(0)
    if a < 0 and b < 0:
        return zero, zero
    if a < 0:
        return zero, max(rb / bb, zero)
    if b < 0:
        return max(ra / aa, zero), zero
    return a, b


@jit(parallel=True)
def _data_step(image, dual, p, n, dual_p, dual_n, target_p, target_n, maps, inside, penalties):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Proximal steps of the field and of the relaxation.

    ``image`` (D (p - n)) becomes 2 y - v of the split field; ``target_p``, ``target_n`` become 2 a - v of the split
    sources, plus what they hold already divided by the penalty (the gradients' part).
    """
    field, weight, rate, rate_weight, ratio, prior, prior_weight = maps
    penalty, local = penalties
    nx, ny, nz = image.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                v = image[i, j, k] + dual[i, j, k]
                w = weight[i, j, k] * weight[i, j, k]
                y = (w * field[i, j, k] + penalty * v) / (w + penalty)
                dual[i, j, k] = v - y
                image[i, j, k] = 2 * y - v
                sp, sn = p[i, j, k] + dual_p[i, j, k], n[i, j, k] + dual_n[i, j, k]
                a = b = np.float32(0)
                if inside[i, j, k]:
                    a, b = _two(
                        rate_weight[i, j, k],
                        ratio[i, j, k],
                        rate[i, j, k],
                        prior_weight[i, j, k],
                        prior[i, j, k],
                        local,
                        sp,
                        sn,
                    )
                dual_p[i, j, k], dual_n[i, j, k] = sp - a, sn - b
                target_p[i, j, k] += local * (2 * a - sp)
                target_n[i, j, k] += local * (2 * b - sn)


@jit(parallel=True)
def _solve(data, plus, minus, kernel, laplacian, penalties):  # type: ignore[no-untyped-def]
    """Normal equations per frequency: ``plus``, ``minus`` hold the right-hand sides and become p and n."""
    penalty, local, tv = penalties
    nx, ny, nz = data.shape
    half = np.float32(0.5)
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                d = kernel[i, j, k]
                below = local + tv * laplacian[i, j, k]
                together = (plus[i, j, k] + minus[i, j, k]) / below
                push = 2 * penalty * d * data[i, j, k]
                difference = (plus[i, j, k] - minus[i, j, k] + push) / (below + 2 * penalty * d * d)
                plus[i, j, k] = half * (together + difference)
                minus[i, j, k] = half * (together - difference)
                data[i, j, k] = difference * d


def minimise_two_sources(
    problem: TwoSourceProblem,
    start: tuple[FloatArray, FloatArray],
    *,
    iterations: int,
    tolerance: float,
    progress: Progress | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return the magnitudes p, n that minimise the problem (alternating direction method of multipliers).

    Ends when the larger change of p and n falls below ``tolerance`` (relative to their size), after five iterations at
    least. The result is zero outside ``problem.inside`` and never negative.

    References
    ----------
    Boyd et al. 2011, 10.1561/2200000016.
    """
    shape, zero = problem.grid.shape, np.float32(0)
    kernel, laplacian = dipole_kernel(problem.grid), laplacian_spectrum(problem.grid)
    # Penalties change the speed of convergence alone. These came nearest to the limit in the default iterations.
    tv = np.float32(30 * problem.regularisation)
    bound = problem.regularisation / float(tv)
    penalty = np.float32(0.3)
    # The split sources converge fastest when their coupling is near the mean curvature of the data terms.
    local = np.float32(max(0.02, float(np.mean(problem.rate_weight[problem.inside]))))
    gradients = SplitGradient(problem.grid, problem.free), SplitGradient(problem.grid, problem.free)
    p, n = (np.array(s, np.float32) for s in start)
    dual, dual_p, dual_n = (np.zeros(shape, np.float32) for _ in range(3))
    image = irfftn(rfftn(p - n) * kernel, shape)
    maps = (
        problem.field,
        problem.weight,
        problem.rate,
        problem.rate_weight,
        problem.ratio,
        problem.prior,
        problem.prior_weight,
    )
    for iteration in range(1, iterations + 1):
        right_p, right_n = (tv * g.step(s, bound) for g, s in zip(gradients, (p, n), strict=True))
        _data_step(image, dual, p, n, dual_p, dual_n, right_p, right_n, maps, problem.inside, (penalty, local))
        data, plus, minus = rfftn(image), rfftn(right_p), rfftn(right_n)
        _solve(data, plus, minus, kernel, laplacian, (penalty, local, tv))
        old_p, old_n, p, n = p, n, irfftn(plus, shape), irfftn(minus, shape)
        changes = [change_of(new, old) for new, old in ((p, old_p), (n, old_n))]
        if progress is not None:
            progress(iteration, iterations)
        size = sum(s for _, s in changes)
        if iteration >= 5 and sum(c for c, _ in changes) <= tolerance**2 * size:
            break
        image = irfftn(data, shape)
    # The split copies obey the bounds; the last duals turn p, n into them.
    inside = problem.inside
    return tuple(np.where(inside, np.maximum(s, zero), zero) for s in (p, n))  # type: ignore[return-value]
