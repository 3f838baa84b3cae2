"""Cropping of a problem to its mask, with margins or with padding so that convolutions do not wrap onto the object."""

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import scipy.fft

from bids_app.qsm.arrays import BoolArray, FloatArray, NumericArray, Scalar
from bids_app.qsm.grid import Grid, bounding_box

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Crop:
    """A box of the volume, and its place in the working grid, which is empty around it.

    :meth:`take` restricts a volume to the box, :meth:`put` is its adjoint: it puts the box's values back into a volume
    of zeros.

    Parameters
    ----------
    box : 3 slices
        The box in the volume.
    inner : 3 slices
        The box in the working grid.
    grid : Grid
        Working grid.
    """

    box: Slices
    inner: Slices
    grid: Grid

    @classmethod
    def around(cls, mask: BoolArray, grid: Grid, padding_mm: float) -> "Crop":
        """Return the crop of ``mask`` with at least ``padding_mm`` on the far side of every axis, for transforms.

        The working grid is periodic: what is empty behind the box is empty in front of it, too. Its lengths are those
        whose transforms are fast.

        Raises
        ------
        ValueError
            If the mask is empty or its shape is not the grid's.
        """
        box = _box_of(mask, grid)
        sizes = []
        for part, size in zip(box, grid.voxel_size, strict=True):
            pad = int(np.ceil(padding_mm / size))
            sizes.append(scipy.fft.next_fast_len(part.stop - part.start + pad, real=True))
        return cls(box, _at(box, 0), Grid((sizes[0], sizes[1], sizes[2]), grid.voxel_size, grid.b0_dir))

    @classmethod
    def with_margin(cls, mask: BoolArray, grid: Grid, margin: int) -> "Crop":
        """Return the crop of ``mask`` with ``margin`` empty voxels on both sides of every axis, for stencils.

        Raises
        ------
        ValueError
            If the mask is empty or its shape is not the grid's.
        """
        box = _box_of(mask, grid)
        nx, ny, nz = (part.stop - part.start + 2 * margin for part in box)
        return cls(box, _at(box, margin), Grid((nx, ny, nz), grid.voxel_size, grid.b0_dir))

    @overload
    def take(self, array: NumericArray) -> FloatArray: ...
    @overload
    def take(self, array: NumericArray, dtype: type[Scalar]) -> npt.NDArray[Scalar]: ...
    def take(self, array: NumericArray, dtype: type[np.generic] = np.float32) -> NumericArray:
        """Return the array on the working grid, zero outside the box."""
        out = np.zeros(self.grid.shape, dtype)
        out[self.inner] = array[self.box]
        return out

    def take_clean(self, array: NumericArray, mask: BoolArray) -> FloatArray:
        """Return the array on the working grid as float32, zero outside the mask and where it is not finite.

        As :func:`clean` and :meth:`take`, but the voxels outside the box are never looked at.
        """
        out = np.zeros(self.grid.shape, np.float32)
        part = array[self.box]
        np.copyto(out[self.inner], part, where=mask[self.box] & np.isfinite(part), casting="same_kind")
        return out

    def put(self, array: npt.NDArray[Scalar], shape: tuple[int, int, int]) -> npt.NDArray[Scalar]:
        """Return a full-size array with the working grid's values in the box, zero elsewhere."""
        out = np.zeros(shape, array.dtype)
        out[self.box] = array[self.inner]
        return out


def _box_of(mask: BoolArray, grid: Grid) -> Slices:
    if mask.shape != grid.shape:
        raise ValueError(f"mask has shape {mask.shape}, the grid {grid.shape}")
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing to compute")
    return bounding_box(mask)


def _at(box: Slices, margin: int) -> Slices:
    x, y, z = (slice(margin, margin + part.stop - part.start) for part in box)
    return x, y, z


def clean(array: NumericArray, mask: BoolArray) -> FloatArray:
    """Set an array to zero outside the mask and where the value is not finite.

    Parameters
    ----------
    array : array, ``[x, y, z]``
        Values.
    mask : bool, ``[x, y, z]``
        Where they count.

    Returns
    -------
    float32, ``[x, y, z]``
        A copy.
    """
    out = np.array(array, dtype=np.float32, order="C")
    out[~mask | ~np.isfinite(out)] = 0
    return out
