"""Kernel of spherical means, voxel by voxel."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True, fastmath=True)
def subtract_mean(field, voxels, start, length, first, weights, out):
    """``out`` = field less its weighted mean; the stencil's rows begin at flat distance ``start`` from the voxel."""
    for v in numba.prange(voxels.size):
        total = np.float32(0)
        for row in range(start.size):
            begin = voxels[v] + start[row]
            for k in range(length[row]):
                total += weights[first[row] + k] * field[begin + k]
        out[voxels[v]] = field[voxels[v]] - total
