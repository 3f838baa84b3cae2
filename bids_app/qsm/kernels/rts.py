"""Vector operations of the least-squares start of RTS, whose unknown lives in k-space."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True, fastmath=True)
def multiply(spectrum, kernel, out):
    """Set ``out`` to the product of a spectrum and a real kernel."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                out[i, j, k] = spectrum[i, j, k] * kernel[i, j, k]


@jit(parallel=True, fastmath=True)
def masked_power(image, inside):
    """Squared norm of the image inside the mask, each plane summed alone so that the result is always the same."""
    nx, ny, nz = image.shape
    sums = np.zeros(nx)
    for i in numba.prange(nx):
        for j in range(ny):
            total = np.float32(0)
            for k in range(nz):
                total += inside[i, j, k] * image[i, j, k] * image[i, j, k]
            sums[i] += total
    return sums.sum()


@jit(parallel=True, fastmath=True)
def descend(residual, image, inside, length):
    """Subtract ``length`` times the image, inside the mask, from the residual."""
    nx, ny, nz = image.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                residual[i, j, k] -= length * inside[i, j, k] * image[i, j, k]


@jit(parallel=True, fastmath=True)
def add(chi, direction, length, scale, gradient):
    """``chi += length * direction``, then ``direction <- gradient + scale * direction``."""
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                d = direction[i, j, k]
                chi[i, j, k] += length * d
                direction[i, j, k] = gradient[i, j, k] + scale * d
