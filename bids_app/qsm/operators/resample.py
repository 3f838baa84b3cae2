"""From a fine grid to one of twice the voxel size, and back."""

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray, Scalar

Factors = tuple[int, ...]


def block_sums(array: FloatArray, factors: Factors = (2, 2, 2)) -> FloatArray:
    """Return the sums over blocks of ``factors`` (1 or 2) voxels; the last block of an axis may be cut.

    Parameters
    ----------
    array : float32, ``[x, y, z]``
        Values on the fine grid.
    factors : 3 ints
        Voxels of a block along each axis, 1 or 2.

    Returns
    -------
    float32, the lengths divided by the factors and rounded up.
    """
    for axis, factor in enumerate(factors):
        if factor == 2:
            along = np.moveaxis(array, axis, 0)
            sums = along[::2].copy()
            sums[: array.shape[axis] // 2] += along[1::2]
            array = np.moveaxis(sums, 0, axis)
    return np.ascontiguousarray(array)


def repeat_blocks(array: npt.NDArray[Scalar], factors: Factors, shape: tuple[int, int, int]) -> npt.NDArray[Scalar]:
    """Return a coarse array on the fine grid, every value repeated over its block; the adjoint of :func:`block_sums`.

    Parameters
    ----------
    array : array, ``[x, y, z]``
        Values on the coarse grid.
    factors : 3 ints
        Voxels of a block along each axis.
    shape : 3 ints
        Shape of the fine grid.

    Returns
    -------
    array, ``shape``
        Values on the fine grid.
    """
    for axis, factor in enumerate(factors):
        array = array.repeat(factor, axis=axis)
    return array[tuple(slice(0, n) for n in shape)]


def interpolate_blocks(array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return a coarse array on the grid of ``shape`` and half the voxel size, linear between the blocks' middles.

    Parameters
    ----------
    array : float32, ``[x, y, z]``
        Values on the coarse grid, those of blocks of two voxels along each axis.
    shape : 3 ints
        Shape of the fine grid.

    Returns
    -------
    float32, ``shape``; constant beyond the middle of the outer blocks.
    """
    for axis, n in enumerate(shape):
        place = (np.arange(n) - 0.5) / 2
        low = np.clip(np.floor(place).astype(int), 0, array.shape[axis] - 1)
        high = np.minimum(low + 1, array.shape[axis] - 1)
        share = np.clip(place - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        array = array.take(low, axis=axis) * (1 - share) + array.take(high, axis=axis) * share
    return array
