"""Kernels of Gaussian smoothing by box filters, and of phase as a complex number."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True)
def box_z(source, radius, out):
    """Set ``out`` to the mean over ``2 radius + 1`` voxels along z; the outside counts as zero."""
    nx, ny, nz = source.shape
    scale = 1.0 / (2 * radius + 1)
    for i in numba.prange(nx):
        for j in range(ny):
            total = 0.0
            for k in range(min(radius, nz)):
                total += source[i, j, k]
            for k in range(nz):
                if k + radius < nz:
                    total += source[i, j, k + radius]
                if k > radius:
                    total -= source[i, j, k - radius - 1]
                out[i, j, k] = total * scale


@jit(parallel=True)
def box_y(source, radius, out):
    """Set ``out`` to the mean over ``2 radius + 1`` voxels along y; the outside counts as zero."""
    nx, ny, nz = source.shape
    scale = 1.0 / (2 * radius + 1)
    for i in numba.prange(nx):
        total = np.zeros(nz, np.float64)
        for j in range(min(radius, ny)):
            for k in range(nz):
                total[k] += source[i, j, k]
        for j in range(ny):
            if j + radius < ny:
                for k in range(nz):
                    total[k] += source[i, j + radius, k]
            if j > radius:
                for k in range(nz):
                    total[k] -= source[i, j - radius - 1, k]
            for k in range(nz):
                out[i, j, k] = total[k] * scale


@jit(parallel=True)
def complex_signal(phase, weight, known, real, imag):
    """Set ``real`` and ``imag`` to weight exp(i phase) where the phase is known, 0 elsewhere; flat arrays."""
    for v in numba.prange(phase.size):
        real[v] = imag[v] = 0
        if known[v]:
            real[v] = weight[v] * np.cos(phase[v])
            imag[v] = weight[v] * np.sin(phase[v])


@jit(parallel=True)
def angles(real, imag):
    """Turn ``real`` into the angle of the complex number; flat arrays."""
    for v in numba.prange(real.size):
        real[v] = np.arctan2(imag[v], real[v])
