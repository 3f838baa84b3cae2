"""Laplace's equation with boundary values on a mask: conjugate gradients on the 19-point Laplacian, coarse grids first.

The operator is that of :mod:`bids_app.qsm.operators.laplacian`.
"""

from dataclasses import dataclass

import numba
import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import laplace as kernels
from bids_app.qsm.kernels.rows import Layout
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.laplacian import NEIGHBOURS, point_weights
from bids_app.qsm.operators.resample import block_sums, interpolate_blocks
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.cg import conjugate_gradients
from bids_app.qsm.solvers.multigrid import coarse_to_fine
from bids_app.qsm.threads import threads

#: Voxels up to which one thread does the work.
SMALL = 40_000
#: A grid with fewer samples than this along an axis is not made coarser.
_MIN_SAMPLES = 16


@dataclass(frozen=True)
class LaplaceProblem:
    """The array that is harmonic in ``interior`` and equals ``values`` on ``boundary``.

    Neither touches the edge of the arrays, and each of the 18 neighbours of the interior is in one of both.
    """

    values: FloatArray
    interior: BoolArray
    boundary: BoolArray
    spacing: tuple[float, float, float]

    def coarser(self) -> "LaplaceProblem | None":
        """Return the problem on voxels twice as long, with an empty voxel on all sides, if the grid allows it."""
        if min(self.interior.shape) < _MIN_SAMPLES:
            return None
        outer = block_sums(self.boundary.astype(np.float32))
        known = block_sums(np.where(self.boundary, self.values, np.float32(0)))
        means = np.divide(known, outer, out=np.zeros_like(outer), where=outer > 0)
        inner = np.pad((block_sums(self.interior.astype(np.float32)) > 0) & (outer == 0), 1)
        means, surface = np.pad(means, 1), np.pad(outer > 0, 1)
        inner &= ~ndimage.binary_dilation(~(inner | surface), NEIGHBOURS)
        x, y, z = self.spacing
        return LaplaceProblem(means, inner, surface, (2 * x, 2 * y, 2 * z))


class _RowSystem:
    """Laplace's equation on the rows of the interior, in the arithmetic of the fused kernels."""

    def __init__(self, problem: LaplaceProblem, start: FloatArray) -> None:
        self._layout = Layout.of(problem.interior)
        self._spans = self._layout.spans(problem.interior).argument
        centre, along, across = point_weights(problem.spacing)
        self._weights = tuple(np.float32(value) for value in (-centre, *along, *across))
        self._solution = self._layout.take(start)
        self._residual, self._direction, self._image = (np.zeros_like(self._solution) for _ in range(3))
        known = np.where(self._layout.take(problem.boundary), self._solution, np.float32(0))
        kernels.laplacian(known, self._spans, self._weights, self._residual)
        #: Squared norm of the residual of a solution that is zero inside.
        self.first = float(np.vdot(self._residual, self._residual))
        kernels.laplacian(self._solution, self._spans, self._weights, self._residual)
        np.negative(self._residual, out=self._residual)
        self.norm = float(np.vdot(self._residual, self._residual))

    def turn(self, factor: np.float32) -> None:
        kernels.turn(self._direction, self._residual, self._spans, factor)

    def curvature(self) -> float:
        return float(kernels.laplacian(self._direction, self._spans, self._weights, self._image))

    def advance(self, step: np.float32, last: bool) -> float:
        arrays = self._solution, self._residual, self._direction, self._image
        return float(kernels.advance(*arrays, self._spans, step))

    def put(self, solution: FloatArray) -> None:
        """Put the rows into a volume."""
        self._layout.fill(solution, self._solution)


def solve_laplace(
    problem: LaplaceProblem, iterations: int, tolerance: float, levels: int, progress: Progress | None = None
) -> FloatArray:
    """Solve Laplace's equation with boundary values.

    Parameters
    ----------
    problem : LaplaceProblem
        Boundary values, where they hold, and where the solution is wanted.
    iterations : int
        Most conjugate-gradient iterations on each grid.
    tolerance : float
        Residual, relative to that of a solution that is zero inside, that ends them.
    levels : int
        Most grids, each of twice the voxel size of the one before.
    progress : callable, optional
        Called as ``progress(done, iterations)`` after each iteration on the finest grid.

    Returns
    -------
    float32, shape of the values
        The boundary values and the solution; 0 elsewhere.
    """

    def solve(problem: LaplaceProblem, start: FloatArray | None, level: int) -> FloatArray:
        solution = np.where(problem.boundary, problem.values, np.float32(0))
        if start is not None:
            np.copyto(solution, start, where=problem.interior)
        # Threads that wait for each other cost more than they save on a small grid; the result is the same.
        with threads(numba.get_num_threads() if np.count_nonzero(problem.interior) > SMALL else 1):
            system = _RowSystem(problem, solution)
            limit = system.first * tolerance**2
            conjugate_gradients(system, system.norm, limit, iterations, None if level else progress)
        system.put(solution)
        return solution

    def refine(solution: FloatArray, _: LaplaceProblem, fine: LaplaceProblem) -> FloatArray:
        return interpolate_blocks(solution[1:-1, 1:-1, 1:-1], fine.interior.shape)

    return coarse_to_fine(problem, LaplaceProblem.coarser, refine, solve, levels)[0]


@dataclass(frozen=True)
class BoundaryValues:
    """A field in the box of its mask, with an empty voxel on all sides, split into surface and interior.

    The mean of the field at the surface is removed: a constant is harmonic, and without it fewer digits are lost.
    """

    crop: Crop
    field: FloatArray
    inside: BoolArray
    interior: BoolArray

    @classmethod
    def of(cls, field: FloatArray, mask: BoolArray, grid: Grid) -> "BoundaryValues | None":
        """Return the split of a field (float32, ``grid.shape``), or None where the mask has no interior.

        Raises
        ------
        ValueError
            If the mask is empty or its shape is not the grid's.
        """
        crop = Crop.with_margin(mask, grid, 1)
        inside = crop.take(mask, np.bool_)
        interior = ndimage.binary_erosion(inside, NEIGHBOURS)
        if not interior.any():
            return None
        values = crop.take_clean(field, mask)
        values -= np.float32(values[inside & ~interior].mean(dtype=np.float64)) * inside
        return cls(crop, values, inside, interior)

    @property
    def boundary(self) -> BoolArray:
        """The surface: voxels of the mask with a neighbour, of 18, outside it."""
        return self.inside & ~self.interior

    def harmonic(
        self, values: FloatArray, iterations: int, tolerance: float, levels: int, progress: Progress | None = None
    ) -> FloatArray:
        """Return the field that is harmonic inside with the given values at the surface; see :func:`solve_laplace`."""
        problem = LaplaceProblem(values, self.interior, self.boundary, self.crop.grid.voxel_size)
        return solve_laplace(problem, iterations, tolerance, levels, progress)
