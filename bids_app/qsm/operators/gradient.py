"""The gradient by periodic forward differences, its adjoint, and the eigenvalues of both together."""

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid


def gradient(array: FloatArray, grid: Grid) -> FloatArray:
    """Return the forward differences along x, y, z, periodic at the faces.

    (grad a)_d(r) = (a(r + e_d) - a(r)) / h_d with h the voxel's edges.

    Parameters
    ----------
    array : float32, ``grid.shape``
        Volume in any unit.
    grid : Grid
        Voxel size in mm.

    Returns
    -------
    float32, ``[3, x, y, z]``
        The unit of the volume per mm.
    """
    return np.stack([(np.roll(array, -1, a) - array) / np.float32(v) for a, v in enumerate(grid.voxel_size)])


def gradient_adjoint(fields: FloatArray, grid: Grid) -> FloatArray:
    """Return the adjoint of :func:`gradient`, which is the negative divergence by backward differences.

    Parameters
    ----------
    fields : float32, ``[3, x, y, z]``
        Components along x, y, z.
    grid : Grid
        Voxel size in mm.

    Returns
    -------
    float32, ``grid.shape``
        The unit of the components per mm.
    """
    total = np.zeros(fields.shape[1:], np.float32)
    for axis, size in enumerate(grid.voxel_size):
        total += (np.roll(fields[axis], 1, axis) - fields[axis]) / np.float32(size)
    return total


def laplacian_spectrum(grid: Grid) -> FloatArray:
    """Return the eigenvalues of (adjoint gradient)(gradient) on the half grid of the transforms.

    The sum over axes of (2 - 2 cos(2 pi k_d h_d)) / h_d^2: those of the negative 7-point Laplacian.

    Parameters
    ----------
    grid : Grid
        Sampling.

    Returns
    -------
    float32, ``(nx, ny, nz // 2 + 1)``
        Eigenvalues in 1/mm2.
    """
    total = np.zeros((grid.shape[0], grid.shape[1], grid.shape[2] // 2 + 1), np.float32)
    for axis, (n, size) in enumerate(zip(grid.shape, grid.voxel_size, strict=True)):
        count = total.shape[axis]
        values = (2 - 2 * np.cos(2 * np.pi * np.arange(count) / n)) / size**2
        total += values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return total
