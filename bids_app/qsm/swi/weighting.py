"""What the methods of susceptibility-weighted imaging share: checks, the magnitude, and projections over slabs."""

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.mask.thresholds import even_brightness
from bids_app.qsm.results import Swi


def checked_map(chi_ppm: FloatArray | None, magnitude: FloatArray, mask: BoolArray, grid: Grid) -> FloatArray:
    """Return the susceptibility map in ppm, 0 outside the mask and where it is not finite.

    Raises
    ------
    ValueError
        If there is no map, or a shape differs from the grid's.
    """
    if chi_ppm is None:
        raise ValueError("the method weights by susceptibility: give chi_ppm")
    mask = checked_mask(mask, grid, map=chi_ppm, magnitude=magnitude)
    return np.where(mask & np.isfinite(chi_ppm), chi_ppm, np.float32(0)).astype(np.float32)


def finite_magnitude(magnitude: FloatArray, even_mm: float, grid: Grid) -> FloatArray:
    """Return a copy of the magnitude in float32, 0 where it is not finite, with its brightness evened over a width."""
    clean = np.nan_to_num(magnitude, posinf=0, neginf=0).astype(np.float32)
    return even_brightness(clean, tuple(even_mm / size for size in grid.voxel_size)) if even_mm > 0 else clean


def with_projection(image: FloatArray, mask: BoolArray, grid: Grid, thickness_mm: float) -> Swi:
    """Return the image with its sliding minimum over slabs along the third axis, 0 outside the mask."""
    slab = max(1, round(thickness_mm / grid.voxel_size[2]))
    lowest = ndimage.minimum_filter1d(np.where(mask, image, np.float32(np.inf)), slab, axis=2, mode="nearest")
    lowest[~mask] = 0
    return Swi(image, lowest)
