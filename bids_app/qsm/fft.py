"""Real-to-complex float32 FFTs on good sizes, and cropping of a problem to its mask."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from bids_app.qsm.geometry import BoolArray, FloatArray, Grid, bounding_box

ComplexArray = npt.NDArray[np.complex64]


def rfftn(array: FloatArray) -> ComplexArray:
    """3D FFT of a real array on the half grid; ``rfft`` along z, then ``fftn`` in place is the fastest route."""
    workers = numba.get_num_threads()
    half = scipy.fft.rfft(array, axis=2, workers=workers)
    return scipy.fft.fftn(half, axes=(0, 1), overwrite_x=True, workers=workers)


def irfftn(spectrum: ComplexArray, shape: tuple[int, int, int]) -> FloatArray:
    """Inverse of :func:`rfftn` for a real array of ``shape``; the spectrum is overwritten."""
    workers = numba.get_num_threads()
    half = scipy.fft.ifftn(spectrum, axes=(0, 1), overwrite_x=True, workers=workers)
    return scipy.fft.irfft(half, n=shape[2], axis=2, overwrite_x=True, workers=workers)


def rfftn_padded(array: FloatArray, shape: tuple[int, int, int]) -> ComplexArray:
    """:func:`rfftn` of an array that is continued by zeros to ``shape``; rows of zeros are never transformed."""
    workers = numba.get_num_threads()
    half = scipy.fft.rfft(array, n=shape[2], axis=2, workers=workers)
    half = scipy.fft.fft(half, n=shape[1], axis=1, overwrite_x=True, workers=workers)
    return scipy.fft.fft(half, n=shape[0], axis=0, overwrite_x=True, workers=workers)


def irfftn_cropped(
    spectrum: ComplexArray, shape: tuple[int, int, int], inner: tuple[slice, slice, slice]
) -> FloatArray:
    """:func:`irfftn` of which the part ``inner`` alone is computed; the spectrum is overwritten."""
    workers = numba.get_num_threads()
    part = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True, workers=workers)[inner[0]]
    part = scipy.fft.ifft(part, axis=1, overwrite_x=True, workers=workers)[:, inner[1]]
    whole = scipy.fft.irfft(part, n=shape[2], axis=2, workers=workers)
    return np.ascontiguousarray(whole[:, :, inner[2]])


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
