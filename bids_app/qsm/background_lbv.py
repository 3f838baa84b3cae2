"""Background removal by the Laplace equation with boundary values (LBV)."""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from scipy import ndimage

from bids_app.qsm.fft import Crop, clean
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class LbvParams(Params):
    """Parameters of LBV."""

    iterations: int = param(500, low=1, high=5000, doc="Most conjugate-gradient iterations on the finest grid")
    tolerance: float = param(
        1e-4, low=0.0, high=1.0, doc="Residual, relative to that without background, that ends them"
    )
    levels: int = param(4, low=1, high=8, doc="Grids, each twice as coarse as the one before, that give the start")


@numba.njit(cache=True, nogil=True, parallel=True)
def _laplacian(array, interior, hx, hy, hz, out):  # type: ignore[no-untyped-def]
    """Negative 7-point Laplacian where ``interior`` (never at the edge), zero elsewhere; returns <array, out>."""
    partial = np.zeros(array.shape[0])
    centre = 2 * (hx + hy + hz)
    for i in numba.prange(array.shape[0]):
        total = 0.0
        for j in range(array.shape[1]):
            for k in range(array.shape[2]):
                if interior[i, j, k]:
                    value = (
                        centre * array[i, j, k]
                        - hx * (array[i - 1, j, k] + array[i + 1, j, k])
                        - hy * (array[i, j - 1, k] + array[i, j + 1, k])
                        - hz * (array[i, j, k - 1] + array[i, j, k + 1])
                    )
                    out[i, j, k] = value
                    total += value * array[i, j, k]
                else:
                    out[i, j, k] = 0
        partial[i] = total
    return partial.sum()


@numba.njit(cache=True, nogil=True, parallel=True)
def _advance(solution, residual, direction, image, step):  # type: ignore[no-untyped-def]
    """Take a step; returns the new squared norm of the residual."""
    partial = np.zeros(solution.shape[0])
    for i in numba.prange(solution.shape[0]):
        total = 0.0
        for j in range(solution.shape[1]):
            for k in range(solution.shape[2]):
                solution[i, j, k] += step * direction[i, j, k]
                value = residual[i, j, k] - step * image[i, j, k]
                residual[i, j, k] = value
                total += value * value
        partial[i] = total
    return partial.sum()


@numba.njit(cache=True, nogil=True, parallel=True)
def _turn(direction, residual, factor):  # type: ignore[no-untyped-def]
    for i in numba.prange(direction.shape[0]):
        for j in range(direction.shape[1]):
            for k in range(direction.shape[2]):
                direction[i, j, k] = residual[i, j, k] + factor * direction[i, j, k]


def _halve(array: FloatArray) -> FloatArray:
    for axis in range(3):
        array = np.add.reduceat(array, np.arange(0, array.shape[axis], 2), axis=axis)
    return array


def _double(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Linear interpolation between the middles of coarse voxels."""
    for axis, n in enumerate(shape):
        place = (np.arange(n) - 0.5) / 2
        low = np.clip(np.floor(place).astype(int), 0, array.shape[axis] - 1)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        share = np.clip(place - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        array = array.take(low, axis=axis) * (1 - share) + array.take(high, axis=axis) * share
    return array


def solve_laplace(
    values: FloatArray,
    interior: BoolArray,
    boundary: BoolArray,
    spacing: tuple[float, float, float],
    params: LbvParams = LbvParams(),
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Return the array that is harmonic in ``interior`` and equals ``values`` on ``boundary``.

    Neither touches the edge of the arrays, and every neighbour of the interior is in one of both. Conjugate gradients
    on the 7-point Laplacian start from the interpolated solution of a grid twice as coarse (cascadic multigrid).
    """
    solution = np.where(boundary, values, np.float32(0))
    outside = np.linalg.norm(solution)
    if params.levels > 1 and min(interior.shape) >= 16:
        outer = _halve(boundary.astype(np.float32))
        means = np.divide(_halve(solution), outer, out=np.zeros_like(outer), where=outer > 0)
        inner = np.pad((_halve(interior.astype(np.float32)) > 0) & (outer == 0), 1)
        means, outer = np.pad(means, 1), np.pad(outer > 0, 1)
        inner &= ~ndimage.binary_dilation(~(inner | outer))
        double = tuple(2 * s for s in spacing)
        coarse = LbvParams(params.iterations, params.tolerance, params.levels - 1)
        start = solve_laplace(means, inner, outer, double, coarse)[1:-1, 1:-1, 1:-1]  # type: ignore[arg-type]
        np.copyto(solution, _double(start, solution.shape), where=interior)
    hx, hy, hz = (np.float32(1 / s**2) for s in spacing)
    residual, direction, image = (np.zeros_like(solution) for _ in range(3))
    _laplacian(np.where(boundary, solution, np.float32(0)), interior, hx, hy, hz, residual)
    first = float(np.vdot(residual, residual))
    _laplacian(solution, interior, hx, hy, hz, residual)
    np.negative(residual, out=residual)
    norm = float(np.vdot(residual, residual)) if outside > 0 else 0.0
    factor = np.float32(0)
    for iteration in range(1, params.iterations + 1):
        if norm <= first * params.tolerance**2:
            break
        _turn(direction, residual, factor)
        curvature = _laplacian(direction, interior, hx, hy, hz, image)
        before = norm
        norm = _advance(solution, residual, direction, image, np.float32(norm / max(curvature, 1e-30)))
        factor = np.float32(norm / before)
        if progress is not None:
            progress(iteration, params.iterations)
    return solution


def lbv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: LbvParams = LbvParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by the Laplacian boundary value method.

    At the object's surface the background is taken for the whole field; inside it is the solution of Laplace's
    equation with these boundary values. The local field is what is left, zero at the surface.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling; anisotropic voxels are honoured.
    params : LbvParams
        Stopping rule and number of grids.
    weights : ignored
        The method does not weight the data; the argument is there so that all background methods are called alike.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration on the finest grid.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the returned mask.
    mask : bool, ``grid.shape``; the mask without its surface: voxels whose six neighbours belong to it.

    Raises
    ------
    ValueError
        If the mask is empty or has no interior, or the shapes differ.

    References
    ----------
    Zhou et al. 2014, 10.1002/nbm.3064.
    """
    mask = mask & np.isfinite(total_field_ppm)
    crop = Crop.around(mask, grid, 0.0)
    inside = np.pad(mask[crop.box], 1)
    interior = ndimage.binary_erosion(inside)
    if not interior.any():
        raise ValueError("the mask has no interior: it is too thin for LBV")
    boundary = inside & ~interior
    field = np.pad(clean(total_field_ppm[crop.box], mask[crop.box]), 1)
    # A constant is harmonic; without it fewer digits are lost.
    field -= np.float32(field[boundary].mean(dtype=np.float64)) * inside
    local = field - solve_laplace(field, interior, boundary, grid.voxel_size, params, progress)
    local *= interior
    out, valid = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, bool)
    out[crop.box], valid[crop.box] = local[1:-1, 1:-1, 1:-1], interior[1:-1, 1:-1, 1:-1]
    return out, valid
