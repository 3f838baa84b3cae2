"""Kernels on spectra of the half grid, and norms whose sums do not depend on the number of threads."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.kernels.cache import jit


@jit(parallel=True, fastmath=True)
def blend(spectrum, fixed, gain):
    """``spectrum <- fixed + gain * spectrum`` on the half grid."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                spectrum[i, j, k] = fixed[i, j, k] + gain[i, j, k] * spectrum[i, j, k]


@jit(parallel=True, fastmath=True)
def change_of(new: FloatArray, old: FloatArray) -> tuple[float, float]:
    """Squared norms of (new - old) and of new, each plane summed alone so that the result is the same every time."""
    nx, ny, nz = new.shape
    sums = np.zeros((nx, 2))
    for i in numba.prange(nx):
        for j in range(ny):
            difference = power = np.float32(0)
            for k in range(nz):
                difference += (new[i, j, k] - old[i, j, k]) ** 2
                power += new[i, j, k] ** 2
            sums[i, 0] += difference
            sums[i, 1] += power
    return sums[:, 0].sum(), sums[:, 1].sum()


@jit(parallel=True, fastmath=True)
def plane_powers(spectrum, last, sums):
    """Add the power of each plane of a half-grid spectrum to ``sums``; ``last`` is the Nyquist plane along z, or 0."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            total = np.float32(0)
            for k in range(nz):
                total += spectrum[i, j, k].real ** 2 + spectrum[i, j, k].imag ** 2
            first, end = spectrum[i, j, 0], spectrum[i, j, last]
            sums[i] += 2 * total - first.real**2 - first.imag**2
            if last > 0:
                sums[i] -= end.real**2 + end.imag**2


@jit(parallel=True)
def deconvolve(spectrum, kernel, threshold):
    """Divide by the kernel where its magnitude exceeds ``threshold``, else set zero; in place on the half grid."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                d = kernel[i, j, k]
                spectrum[i, j, k] *= 1 / d if abs(d) > threshold else np.float32(0)
