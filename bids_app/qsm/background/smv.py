"""What background removal by one sphere shares: the crop, the voxels where the sphere fits, and the sphere."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.sphere import SphereMean


def sphere_problem(
    total: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None, radius: float, name: str
) -> tuple[Crop, FloatArray, FloatArray, SphereMean]:
    """Crop, field on it, voxels (0 or 1) around which the sphere fits, and the sphere."""
    mask = known_object(total, mask, grid, weights)
    crop = Crop.around(mask, grid, radius + 2 * max(grid.voxel_size))
    sphere = SphereMean(radius, crop.grid)
    valid = sphere.fits(crop.take(mask)).astype(np.float32)
    if not valid.any():
        raise ValueError(f"no sphere of {radius:g} mm fits into the mask: it is too thin for {name}")
    return crop, crop.take_clean(total, mask), valid, sphere
