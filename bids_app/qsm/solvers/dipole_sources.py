"""Sources whose field fits a total field: the solver behind PDF and total field inversion.

Susceptibility x = P y with a prior standard deviation P per voxel; minimised is
|W (f - D P y)|^2 + ridge |y|^2 by conjugate gradients. Coarser grids give the start: smooth backgrounds of far
sources converge there at an eighth of the cost.
"""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import is_host, namespace, to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import sources as fused
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.resample import block_sums, repeat_blocks
from bids_app.qsm.plain import sources as plain
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.cg import conjugate_gradients
from bids_app.qsm.solvers.multigrid import coarse_to_fine

#: Voxels of the coarsest grid are at most this long (mm), and a grid has at least this many samples along each axis.
COARSEST_MM, MIN_SAMPLES = 4.5, 16


@dataclass(frozen=True)
class SourceProblem:
    """Data in the box of the object, sources on the padded grid.

    ``field`` (ppm) and ``weight`` (1/ppm, zero outside the object) have the shape of the box; ``grid`` is the periodic
    source grid, at whose corner the box lies; ``inner_sd`` and ``outer_sd`` (ppm) are the prior standard deviations.
    """

    field: FloatArray
    weight: FloatArray
    grid: Grid
    inner_sd: float
    outer_sd: float
    ridge: float

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """The box on the source grid."""
        return tuple(slice(0, n) for n in self.field.shape)  # type: ignore[return-value]

    def inside(self) -> BoolArray:
        """Object on the source grid."""
        inside = np.zeros(self.grid.shape, bool)
        inside[self.box] = self.weight > 0
        return inside

    def prior(self) -> FloatArray:
        """Prior standard deviation on the source grid, ppm."""
        return np.where(self.inside(), np.float32(self.inner_sd), np.float32(self.outer_sd))

    def coarser(self) -> "SourceProblem | None":
        """The same problem on voxels twice as long (those axes that are not much longer already), if that pays."""
        factors = _factors(self.grid)
        if max(factors) == 1:
            return None
        count = float(np.prod(factors))
        power = block_sums(self.weight**2, factors)
        moment = block_sums(self.weight**2 * self.field, factors)
        # Cells less than half inside stay out: sources may lie there.
        kept = block_sums((self.weight > 0).astype(np.float32), factors) > count / 2
        field = np.divide(moment, power, out=np.zeros_like(power), where=kept)
        shape = tuple(-(-n // f) for n, f in zip(self.grid.shape, factors, strict=True))
        size = tuple(v * f for v, f in zip(self.grid.voxel_size, factors, strict=True))
        grid = Grid(shape, size, self.grid.b0_dir)  # type: ignore[arg-type]
        shrink = 1 / np.sqrt(count)  # a mean of independent values varies less
        weight = np.sqrt(np.where(kept, power, 0))
        return SourceProblem(field, weight, grid, self.inner_sd * shrink, self.outer_sd * shrink, self.ridge)


def _factors(grid: Grid) -> tuple[int, ...]:
    shortest = min(grid.voxel_size)
    return tuple(
        2 if v < 1.5 * shortest and 2 * v <= COARSEST_MM and n >= 2 * MIN_SAMPLES else 1
        for n, v in zip(grid.shape, grid.voxel_size, strict=True)
    )


class _SourceSystem:
    """The preconditioned normal equations of the sources; a step of the solution is taken with the next turn.

    The square root of the curvature is the preconditioner: its full inverse favours far sources so much that near ones
    hardly converge.
    """

    def __init__(self, problem: SourceProblem, start: FloatArray | None) -> None:
        self._dipoles = DipoleConvolution(problem.grid, problem.box).on_device()
        weight, self._prior = to_device(problem.weight), to_device(problem.prior())
        xp, self._weight, self._ridge = namespace(weight), weight, np.float32(problem.ridge)
        self._kernels = fused if is_host(weight) else plain
        squared = xp.square(self._prior)
        curvature = self._dipoles.curvature(weight)
        self._preconditioner = 1 / xp.sqrt(xp.clip(curvature * squared + 1, 1.0, None))
        del squared, curvature
        self._solution = xp.zeros_like(self._prior)
        self._step = np.float32(0)
        self._residual = weight * to_device(problem.field)
        self._gradient = self._dipoles.adjoint(weight * self._residual)
        self._direction = xp.zeros_like(self._gradient)
        self._image = self._residual
        #: Squared norm of the preconditioned gradient for x = 0, and at the start.
        self.first = self.norm = self._finish_gradient()
        if start is not None:
            prior = to_host(self._prior)
            self._solution = to_device(np.divide(start, prior, out=np.zeros_like(prior), where=prior > 0))
            self._residual -= weight * self._dipoles.field(self._prior * self._solution)
            self._gradient = self._dipoles.adjoint(weight * self._residual)
            self.norm = self._finish_gradient()

    def _finish_gradient(self) -> float:
        arrays = self._gradient, self._prior, self._solution, self._direction
        return float(self._kernels.finish_gradient(*arrays, self._step, self._ridge, self._preconditioner))

    def turn(self, factor: np.float32) -> None:
        arrays = self._solution, self._direction, self._gradient, self._preconditioner
        self._kernels.descend(*arrays, factor, self._step)

    def curvature(self) -> float:
        self._image = self._dipoles.field(self._prior * self._direction)
        self._image *= self._weight
        ridge = float(self._ridge) * self._kernels.norm_squared(self._direction)
        return float(self._kernels.norm_squared(self._image) + ridge)

    def advance(self, step: np.float32, last: bool) -> float:
        self._step = step
        if last:
            return self.norm
        self._residual -= float(step) * self._image
        self._gradient = self._dipoles.adjoint(self._weight * self._residual)
        return self._finish_gradient()

    def susceptibility(self) -> FloatArray:
        """Return the solution in ppm."""
        self._solution += float(self._step) * self._direction
        self._solution *= self._prior
        return to_host(self._solution)


def fit_sources(
    problem: SourceProblem, iterations: int, tolerance: float, progress: Progress | None = None
) -> FloatArray:
    """Find the sources whose field fits best, prior taken into account.

    Minimises |W (f - D P y)|^2 + ridge |y|^2 with x = P y.

    Parameters
    ----------
    problem : SourceProblem
        Field, weights and priors.
    iterations : int
        Most iterations on the finest grid; four times as many on each coarser one.
    tolerance : float
        Preconditioned gradient over its value for x = 0 that ends them; half of it on each coarser grid.
    progress : callable, optional
        Called as ``progress(done, iterations)`` after each iteration on the finest grid.

    Returns
    -------
    float32, shape of the source grid
        Susceptibility x in ppm.
    """

    def solve(problem: SourceProblem, start: FloatArray | None, level: int) -> FloatArray:
        system = _SourceSystem(problem, start)
        most, share = iterations * 4**level, tolerance / 2**level
        conjugate_gradients(system, system.norm, system.first * share**2, most, None if level else progress)
        return system.susceptibility()

    def refine(sources: FloatArray, coarse: SourceProblem, fine: SourceProblem) -> FloatArray:
        factors, shape = _factors(fine.grid), fine.grid.shape
        start = repeat_blocks(sources, factors, shape)
        # Where the object's surface moved outwards, strong outside sources would start inside.
        start[fine.inside() > repeat_blocks(coarse.inside(), factors, shape)] = 0
        return start

    return coarse_to_fine(problem, SourceProblem.coarser, refine, solve)[0]


def outside_field(problem: SourceProblem, sources: FloatArray) -> FloatArray:
    """Field in the box of those sources that lie outside the object."""
    return DipoleConvolution(problem.grid, problem.box).field(np.where(problem.inside(), np.float32(0), sources))


def source_crop(mask: BoolArray, grid: Grid, padding_mm: float) -> Crop:
    """Crop with ``padding_mm`` on both sides: the grid is periodic, so the space behind is in front, too."""
    return Crop.around(mask, grid, 2 * padding_mm)
