"""Kernel of linear interpolation from a coarse grid."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True)
def interpolate(coarse, places, shares, region, out):
    """Linear interpolation at each voxel of the region; ``places[a]`` are its lower and upper neighbours on axis a."""
    (x, y, z), (sx, sy, sz) = places, shares
    for i in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                if not region[i, j, k]:
                    out[i, j, k] = 0
                    continue
                total = np.float32(0)
                for a in range(2):
                    for b in range(2):
                        row = coarse[x[a, i], y[b, j]]
                        total += sx[a, i] * sy[b, j] * (sz[0, k] * row[z[0, k]] + sz[1, k] * row[z[1, k]])
                out[i, j, k] = total
