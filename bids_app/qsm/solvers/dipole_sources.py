"""Sources whose field fits a total field: the solver behind PDF and total field inversion.

Susceptibility x = P y with a prior standard deviation P per voxel; minimised is
|W (f - D P y)|^2 + ridge |y|^2 by conjugate gradients. Coarser grids give the start: smooth backgrounds of far
sources converge there at an eighth of the cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn_cropped, rfftn, rfftn_padded

#: Voxels of the coarsest grid are at most this long (mm), and a grid has at least this many samples along each axis.
COARSEST_MM, FEWEST = 4.5, 16


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
        power = _block_sum(self.weight**2, factors)
        moment = _block_sum(self.weight**2 * self.field, factors)
        # Cells less than half inside stay out: sources may lie there.
        kept = _block_sum((self.weight > 0).astype(np.float32), factors) > count / 2
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
        2 if v < 1.5 * shortest and 2 * v <= COARSEST_MM and n >= 2 * FEWEST else 1
        for n, v in zip(grid.shape, grid.voxel_size, strict=True)
    )


def _block_sum(array: FloatArray, factors: tuple[int, ...]) -> FloatArray:
    for axis, factor in enumerate(factors):
        if factor > 1:
            array = np.add.reduceat(array, np.arange(0, array.shape[axis], factor), axis=axis)
    return array


def _refine(array: npt.NDArray[Any], factors: tuple[int, ...], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
    for axis, factor in enumerate(factors):
        array = array.repeat(factor, axis=axis)
    return array[tuple(slice(0, n) for n in shape)]


@numba.njit(cache=True, nogil=True, parallel=True)
def _descend(solution, direction, gradient, preconditioner, factor, step):  # type: ignore[no-untyped-def]
    """Update direction = preconditioner gradient + factor direction; step the solution before with the old one."""
    for i in numba.prange(solution.shape[0]):
        for j in range(solution.shape[1]):
            for k in range(solution.shape[2]):
                old = direction[i, j, k]
                solution[i, j, k] += step * old
                direction[i, j, k] = preconditioner[i, j, k] * gradient[i, j, k] + factor * old


@numba.njit(cache=True, nogil=True, parallel=True)
def _finish_gradient(gradient, prior, solution, direction, step, ridge, preconditioner):  # type: ignore[no-untyped-def]
    """gradient = prior gradient - ridge (solution + step direction); returns <gradient, preconditioner gradient>."""
    partial = np.zeros(gradient.shape[0])
    for i in numba.prange(gradient.shape[0]):
        total = 0.0
        for j in range(gradient.shape[1]):
            for k in range(gradient.shape[2]):
                now = solution[i, j, k] + step * direction[i, j, k]
                value = prior[i, j, k] * gradient[i, j, k] - ridge * now
                gradient[i, j, k] = value
                total += preconditioner[i, j, k] * value * value
        partial[i] = total
    return partial.sum()


@numba.njit(cache=True, nogil=True, parallel=True)
def _norm_squared(array):  # type: ignore[no-untyped-def]
    partial = np.zeros(array.shape[0])
    for i in numba.prange(array.shape[0]):
        total = 0.0
        for j in range(array.shape[1]):
            for k in range(array.shape[2]):
                total += array[i, j, k] * array[i, j, k]
        partial[i] = total
    return partial.sum()


class _Dipoles:
    """Field in the box of sources on the grid, and its adjoint."""

    def __init__(self, problem: SourceProblem) -> None:
        self.shape, self.box = problem.grid.shape, problem.box
        self.kernel = dipole_kernel(problem.grid)

    def field(self, sources: FloatArray) -> FloatArray:
        spectrum = rfftn(sources)
        spectrum *= self.kernel
        return irfftn_cropped(spectrum, self.shape, self.box)

    def adjoint(self, image: FloatArray) -> FloatArray:
        spectrum = rfftn_padded(image, self.shape)
        spectrum *= self.kernel
        return irfftn_cropped(spectrum, self.shape, tuple(slice(0, n) for n in self.shape))  # type: ignore[arg-type]

    def curvature(self, weight: FloatArray) -> FloatArray:
        """Diagonal of D' W^2 D: the squared weight convolved with the squared kernel in space."""
        whole = tuple(slice(0, n) for n in self.shape)
        space = irfftn_cropped(self.kernel.astype(np.complex64), self.shape, whole)  # type: ignore[arg-type]
        spectrum = rfftn_padded(weight**2, self.shape)
        spectrum *= rfftn(space**2)
        return np.maximum(irfftn_cropped(spectrum, self.shape, whole), 0)  # type: ignore[arg-type]


def fit_sources(
    problem: SourceProblem, iterations: int, tolerance: float, progress: Callable[[int, int], None] | None = None
) -> FloatArray:
    """Susceptibility (ppm) on the source grid whose field fits best, prior taken into account.

    Stops when the preconditioned gradient has fallen to ``tolerance`` of its value for x = 0, or after
    ``iterations``; ``progress(done, iterations)`` counts those of the finest grid. The square root of the curvature
    is the preconditioner: its full inverse favours far sources so much that near ones hardly converge.
    """
    coarse = problem.coarser()
    start = None
    if coarse is not None:
        factors, shape = _factors(problem.grid), problem.grid.shape
        start = _refine(fit_sources(coarse, 4 * iterations, tolerance / 2), factors, shape)
        # Where the object's surface moved outwards, strong outside sources would start inside.
        start[problem.inside() > _refine(coarse.inside(), factors, shape)] = 0
    dipoles, prior, ridge = _Dipoles(problem), problem.prior(), np.float32(problem.ridge)
    squared = np.square(prior)
    preconditioner = (1 / np.sqrt(np.maximum(dipoles.curvature(problem.weight) * squared + 1, 1))).astype(np.float32)
    del squared
    solution = np.zeros(problem.grid.shape, np.float32)
    zero = np.float32(0)
    residual = problem.weight * problem.field
    gradient = dipoles.adjoint(problem.weight * residual)
    direction = np.zeros_like(gradient)
    first = norm = _finish_gradient(gradient, prior, solution, direction, zero, ridge, preconditioner)
    if start is not None:
        np.divide(start, prior, out=solution, where=prior > 0)
        residual -= problem.weight * dipoles.field(prior * solution)
        gradient = dipoles.adjoint(problem.weight * residual)
        norm = _finish_gradient(gradient, prior, solution, direction, zero, ridge, preconditioner)
    step = factor = zero
    for iteration in range(1, iterations + 1):
        if norm <= first * tolerance**2:
            break
        _descend(solution, direction, gradient, preconditioner, factor, step)
        image = dipoles.field(prior * direction)
        image *= problem.weight
        length = _norm_squared(image) + float(ridge) * _norm_squared(direction)
        step = np.float32(norm / max(length, 1e-30))
        residual -= step * image
        gradient = dipoles.adjoint(problem.weight * residual)
        before = norm
        norm = _finish_gradient(gradient, prior, solution, direction, step, ridge, preconditioner)
        factor = np.float32(norm / before)
        if progress is not None:
            progress(iteration, iterations)
    solution += step * direction
    solution *= prior
    return solution


def outside_field(problem: SourceProblem, sources: FloatArray) -> FloatArray:
    """Field in the box of those sources that lie outside the object."""
    return _Dipoles(problem).field(np.where(problem.inside(), np.float32(0), sources))


def source_crop(mask: BoolArray, grid: Grid, padding_mm: float) -> Crop:
    """Crop with ``padding_mm`` on both sides: the grid is periodic, so the room behind is in front, too."""
    return Crop.around(mask, grid, 2 * padding_mm)
