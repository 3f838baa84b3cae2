# mypy: disable-error-code=no-untyped-def
"""Erosion of a mask by large convex stencils: 64 voxels of a row to a machine word, one stencil column at a time."""

import numba
import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.operators.sphere import sphere_weights

Words = npt.NDArray[np.uint64]


@jit(parallel=True)
def _pack(mask, heights, out):
    """Pack rows eroded along z by 0 to ``heights`` voxels to both sides; beyond the volume nothing is set."""
    nx, ny, nz = mask.shape
    for i in numba.prange(nx):
        reach = np.empty(nz, np.int64)
        for j in range(ny):
            run = 0
            for k in range(nz):
                run = run + 1 if mask[i, j, k] else 0
                reach[k] = run - 1
            run = 0
            for k in range(nz - 1, -1, -1):
                run = run + 1 if mask[i, j, k] else 0
                most = min(reach[k], run - 1, heights)
                for h in range(most + 1):
                    out[h, i, j, k >> 6] |= np.uint64(1) << np.uint64(k & 63)


@jit(parallel=True)
def _erode(packed, columns, out):
    """And of the rows that every column of the stencil, ``(x, y, half height)``, asks for."""
    _, nx, ny, words = packed.shape
    for i in numba.prange(nx):
        row = out[i].reshape(ny * words)
        row[:] = packed[0, i].copy().reshape(ny * words)
        for c in range(columns.shape[0]):
            x, y, h = i + columns[c, 0], columns[c, 1], columns[c, 2]
            if x < 0 or x >= nx:
                row[:] = 0
                break
            other = packed[h, x].reshape(ny * words)
            first, last = max(0, -y) * words, (ny - max(0, y)) * words
            shift = y * words
            for n in range(first):
                row[n] = 0
            for n in range(first, last):
                row[n] &= other[n + shift]
            for n in range(last, ny * words):
                row[n] = 0


@jit(parallel=True)
def _unpack(packed, out):
    nx, ny, nz = out.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                out[i, j, k] = (packed[i, j, k >> 6] >> np.uint64(k & 63)) & np.uint64(1)


class Erosion:
    """A mask that is eroded by several stencils of at most ``reach`` voxels along z."""

    def __init__(self, mask: BoolArray, reach: int) -> None:
        self._shape = mask.shape
        nx, ny, nz = mask.shape
        self._packed: Words = np.zeros((reach + 1, nx, ny, (nz + 63) // 64), np.uint64)
        _pack(np.ascontiguousarray(mask), reach, self._packed)

    def by(self, stencil: FloatArray) -> BoolArray:
        """Voxels around which every voxel of the stencil with a weight above 0 lies in the mask.

        The stencil has odd shape, is symmetric and along z without gaps; beyond the volume there is no mask.
        """
        middle = [n // 2 for n in stencil.shape]
        heights = np.count_nonzero(stencil, axis=2) // 2
        x, y = np.nonzero(stencil[:, :, middle[2]])
        columns = np.stack([x - middle[0], y - middle[1], heights[x, y]], axis=1)
        out = np.empty(self._packed.shape[1:], np.uint64)
        _erode(self._packed, columns.astype(np.int64), out)
        inside = np.empty(self._shape, np.bool_)
        _unpack(out, inside)
        return inside


def erode_by_sphere(mask: BoolArray, radius: float, voxel_size: tuple[float, float, float]) -> BoolArray:
    """Return the voxels within ``radius`` mm (a voxel at least) of which all are set; beyond the volume none is."""
    sphere = sphere_weights(radius, voxel_size)
    return Erosion(mask, sphere.shape[2] // 2).by(sphere)


def dilate_by_sphere(mask: BoolArray, radius: float, voxel_size: tuple[float, float, float]) -> BoolArray:
    """Return the mask with what lies within ``radius`` mm of it (a voxel's length at least)."""
    sphere = sphere_weights(radius, voxel_size)
    reach = [n // 2 for n in sphere.shape]
    # Beyond its volume an erosion finds nothing set: only what is padded here, and cut off again, sees that.
    outside = ~np.pad(mask, [(n, n) for n in reach])
    grown = ~Erosion(outside, reach[2]).by(sphere)
    return np.ascontiguousarray(grown[tuple(slice(n, -n) for n in reach)])
