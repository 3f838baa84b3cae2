"""Kernels of the empirical-Bayes inversion: k-space steps, the scale of the map, what is measured and what expected."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True)
def wiener(spectrum, kernel, flat, structured, half, signal, axes, width):
    """Turn the field's spectrum into the linear least-squares estimate of chi's, P D / (P D^2 + N).

    Here and below, N = flat + structured / (1 + (D / half)^2), see :mod:`bids_app.qsm.inversion.spectra`.
    """
    nx, ny, nz = spectrum.shape
    kx, ky, kz = axes
    for i in numba.prange(nx):
        for j in range(ny):
            plane = kx[i] ** 2 + ky[j] ** 2
            for k in range(nz):
                shell = int(np.sqrt(plane + kz[k] ** 2) / width)
                d = kernel[i, j, k]
                noise = flat[shell] + structured[shell] / (1 + (d / half) ** 2)
                spectrum[i, j, k] *= signal[shell] * d / (signal[shell] * d * d + noise)
    spectrum[0, 0, 0] = 0


@jit(parallel=True)
def normal_equations(spectrum, kernel, laplacian, axes, width, error, prior, penalty, gain):
    """Prepare the k-space step of the ADMM: chi = fixed + gain * grad^T (z - u), ``fixed`` in place of the spectrum.

    ``error``: variances of a voxel's flat and structured error per shell, and ``half``.
    """
    nx, ny, nz = spectrum.shape
    kx, ky, kz = axes
    flat, structured, half = error
    for i in numba.prange(nx):
        for j in range(ny):
            plane = kx[i] ** 2 + ky[j] ** 2
            for k in range(nz):
                shell = int(np.sqrt(plane + kz[k] ** 2) / width)
                d = kernel[i, j, k]
                certain = 1 / (flat[shell] + structured[shell] / (1 + (d / half) ** 2))
                below = certain * d * d + prior[shell] + penalty * laplacian[i, j, k]
                spectrum[i, j, k] *= certain * d / below
                gain[i, j, k] = penalty / below
    spectrum[0, 0, 0] = 0
    gain[0, 0, 0] = 0


@jit(parallel=True)
def products(expected, field, certainty):
    """Sums over voxels of certainty times: expected * field, expected^2, field^2, and one."""
    nx, ny, nz = field.shape
    sums = np.zeros((nx, 4))
    for i in numba.prange(nx):
        for j in range(ny):
            both = alone = measured = certain = 0.0
            for k in range(nz):
                weight = certainty[i, j, k]
                both += weight * expected[i, j, k] * field[i, j, k]
                alone += weight * expected[i, j, k] * expected[i, j, k]
                measured += weight * field[i, j, k] * field[i, j, k]
                certain += weight
            sums[i, 0] += both
            sums[i, 1] += alone
            sums[i, 2] += measured
            sums[i, 3] += certain
    return sums[:, 0].sum(), sums[:, 1].sum(), sums[:, 2].sum(), sums[:, 3].sum()


@jit(parallel=True)
def mix(field, expected, share, weight, limit, certainty):
    """Turn ``share`` of what is expected into the mean of it and the field by certainty; return the misfit.

    The certainty falls with residuals above a limit. The misfit is the sum of certainty times (field - expected)^2.
    """
    nx, ny, nz = field.shape
    sums = np.zeros(nx)
    for i in numba.prange(nx):
        misfit = 0.0
        for j in range(ny):
            for k in range(nz):
                remaining = field[i, j, k] - expected[i, j, k]
                counted = share * expected[i, j, k]
                residual = field[i, j, k] - counted
                trust = min(2 * weight[i, j, k], np.float32(1)) * (limit / max(abs(residual), limit))
                certainty[i, j, k] = trust * trust
                expected[i, j, k] = counted + certainty[i, j, k] * residual
                misfit += certainty[i, j, k] * remaining * remaining
        sums[i] = misfit
    return sums.sum()


@jit(parallel=True)
def weigh_difference(spectrum, kernel, axes, share, fine, coarse, cone):
    """Multiply the spectrum of the difference by TGV's share."""
    nx, ny, nz = spectrum.shape
    kx, ky, kz = axes
    for i in numba.prange(nx):
        for j in range(ny):
            plane = kx[i] ** 2 + ky[j] ** 2
            for k in range(nz):
                square, d = plane + kz[k] ** 2, kernel[i, j, k]
                everywhere = square / (square + fine * fine)
                within = cone * cone / (cone * cone + d * d) * square / (square + coarse * coarse)
                spectrum[i, j, k] *= share * max(everywhere, within)
    spectrum[0, 0, 0] = 0
