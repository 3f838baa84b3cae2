"""What background removal by one sphere shares: the crop, the voxels where the sphere fits, and the solver."""

from collections.abc import Callable

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import remove_unreliable_boundary
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.sphere import sphere_fits, sphere_kernel

_Operator = Callable[[FloatArray], FloatArray]
_Progress = Callable[[int, int], None] | None


def conjugate_gradients(
    operator: _Operator, right: FloatArray, iterations: int, tolerance: float, progress: _Progress
) -> FloatArray:
    """Solve operator(x) = right from zero until the residual is ``tolerance`` of the right side."""
    solution, residual = np.zeros_like(right), right.copy()
    direction = residual.copy()
    norm = first = float(np.vdot(residual, residual))
    for iteration in range(1, iterations + 1):
        if norm <= first * tolerance**2:
            break
        image = operator(direction)
        step = np.float32(norm / max(float(np.vdot(direction, image)), 1e-30))
        solution += step * direction
        image *= step
        residual -= image
        norm, previous = float(np.vdot(residual, residual)), norm
        direction *= np.float32(norm / previous)
        direction += residual
        if progress is not None:
            progress(iteration, iterations)
    return solution


def sphere_problem(
    total: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None, radius: float, name: str
) -> tuple[Crop, FloatArray, FloatArray, FloatArray]:
    """Crop, field on it, voxels (0 or 1) around which the sphere fits, and the sphere's spectrum."""
    mask = remove_unreliable_boundary(mask & np.isfinite(total), weights)
    crop = Crop.around(mask, grid, radius + 2 * max(grid.voxel_size))
    sphere = sphere_kernel(radius, crop.grid)
    valid = sphere_fits(crop.take(mask), sphere).astype(np.float32)
    if not valid.any():
        raise ValueError(f"no sphere of {radius:g} mm fits into the mask: it is too thin for {name}")
    return crop, crop.take_clean(total, mask), valid, sphere
