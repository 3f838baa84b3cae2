"""Real-to-complex float32 transforms on the half grid ``(nx, ny, nz // 2 + 1)``."""

import numba
import numpy as np
import scipy.fft

from bids_app.qsm.arrays import ComplexArray, FloatArray
from bids_app.qsm.device import is_host, namespace
from bids_app.qsm.kernels.spectrum import plane_powers
from bids_app.qsm.plain import spectrum as plain


def rfftn(array: FloatArray) -> ComplexArray:
    """3D FFT of a real array on the half grid; ``rfft`` along z, then ``fftn`` in place is the fastest route."""
    if not is_host(array):
        return namespace(array).fft.rfftn(array)
    workers = numba.get_num_threads()
    half = scipy.fft.rfft(array, axis=2, workers=workers)
    return scipy.fft.fftn(half, axes=(0, 1), overwrite_x=True, workers=workers)


def irfftn(spectrum: ComplexArray, shape: tuple[int, int, int]) -> FloatArray:
    """Inverse of :func:`rfftn` for a real array of ``shape``; the spectrum is overwritten."""
    if not is_host(spectrum):
        return namespace(spectrum).fft.irfftn(spectrum, s=shape, axes=(0, 1, 2))
    workers = numba.get_num_threads()
    half = scipy.fft.ifftn(spectrum, axes=(0, 1), overwrite_x=True, workers=workers)
    return scipy.fft.irfft(half, n=shape[2], axis=2, overwrite_x=True, workers=workers)


def rfftn_padded(array: FloatArray, shape: tuple[int, int, int]) -> ComplexArray:
    """:func:`rfftn` of an array that is continued by zeros to ``shape``; rows of zeros are never transformed."""
    if not is_host(array):
        return namespace(array).fft.rfftn(array, s=shape, axes=(0, 1, 2))
    workers = numba.get_num_threads()
    half = scipy.fft.rfft(array, n=shape[2], axis=2, workers=workers)
    half = scipy.fft.fft(half, n=shape[1], axis=1, overwrite_x=True, workers=workers)
    return scipy.fft.fft(half, n=shape[0], axis=0, overwrite_x=True, workers=workers)


def irfftn_cropped(
    spectrum: ComplexArray, shape: tuple[int, int, int], inner: tuple[slice, slice, slice]
) -> FloatArray:
    """:func:`irfftn` of which the part ``inner`` alone is computed; the spectrum is overwritten."""
    if not is_host(spectrum):
        return irfftn(spectrum, shape)[inner]
    workers = numba.get_num_threads()
    part = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True, workers=workers)[inner[0]]
    part = scipy.fft.ifft(part, axis=1, overwrite_x=True, workers=workers)[:, inner[1]]
    whole = scipy.fft.irfft(part, n=shape[2], axis=2, workers=workers)
    return np.ascontiguousarray(whole[:, :, inner[2]])


def power(spectrum: ComplexArray, shape: tuple[int, ...]) -> float:
    """Return the squared norm of the real array of ``shape`` whose half-grid transform is ``spectrum`` (Parseval)."""
    if not is_host(spectrum):
        return plain.power(spectrum, shape)
    sums = np.zeros(shape[0])
    # A sample stands for two, but in the first plane and in that of an even grid's Nyquist frequency.
    plane_powers(spectrum, shape[2] // 2 if shape[2] % 2 == 0 else 0, sums)
    return float(sums.sum()) / float(np.prod(shape))
