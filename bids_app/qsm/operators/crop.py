"""Cropping of a problem to its mask, with padding so that convolutions do not wrap onto the object."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, bounding_box


@dataclass(frozen=True)
class Crop:
    """A box around the mask, and the padded working grid on which convolutions do not wrap onto the object."""

    box: tuple[slice, slice, slice]
    inner: tuple[slice, slice, slice]
    grid: Grid

    @classmethod
    def around(cls, mask: BoolArray, grid: Grid, padding_mm: float) -> "Crop":
        """Return the crop of ``mask`` with at least ``padding_mm`` on the far side of every axis."""
        if mask.shape != grid.shape:
            raise ValueError(f"mask has shape {mask.shape}, the grid {grid.shape}")
        if not mask.any():
            raise ValueError("the mask is empty: there is nothing to compute")
        box, sizes = bounding_box(mask), []
        for part, size in zip(box, grid.voxel_size, strict=True):
            pad = int(np.ceil(padding_mm / size))
            sizes.append(scipy.fft.next_fast_len(part.stop - part.start + pad, real=True))
        inner = tuple(slice(0, s.stop - s.start) for s in box)
        return cls(box, inner, Grid(tuple(sizes), grid.voxel_size, grid.b0_dir))  # type: ignore[arg-type]

    def take(self, array: npt.NDArray[Any], dtype: Any = np.float32) -> npt.NDArray[Any]:
        """Return the array on the working grid, zero outside the box."""
        out = np.zeros(self.grid.shape, dtype)
        out[self.inner] = array[self.box]
        return out

    def take_clean(self, array: npt.NDArray[Any], mask: BoolArray) -> FloatArray:
        """Return the array on the working grid as float32, zero outside the mask and where it is not finite.

        As :func:`clean` and :meth:`take`, but the voxels outside the box are never looked at.
        """
        out = np.zeros(self.grid.shape, np.float32)
        part = array[self.box]
        np.copyto(out[self.inner], part, where=mask[self.box] & np.isfinite(part), casting="same_kind")
        return out

    def put(self, array: npt.NDArray[Any], shape: tuple[int, int, int]) -> npt.NDArray[Any]:
        """Return a full-size array with the working grid's values in the box, zero elsewhere."""
        out = np.zeros(shape, array.dtype)
        out[self.box] = array[self.inner]
        return out


def clean(array: npt.NDArray[Any], mask: BoolArray) -> FloatArray:
    """Return a float32 copy that is zero outside the mask and where the value is not finite."""
    out = np.array(array, dtype=np.float32, order="C")
    out[~mask | ~np.isfinite(out)] = 0
    return out
