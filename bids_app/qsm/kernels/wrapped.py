"""The Laplacian of a field or of wrapped phase, from differences of neighbours, over row spans of flat arrays."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit

_OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
_ONE = np.uint64(1)


@jit(**_OPTIONS)
def _second_difference(phase, i, step, period):
    """Second difference from neighbour differences brought into half a ``period`` (0: plain differences)."""
    up = phase[i + step] - phase[i]
    down = phase[i - step] - phase[i]
    if period > 0:
        up -= period * np.rint(up / period)
        down -= period * np.rint(down / period)
    return up + down


@jit(**_OPTIONS)
def _product(phase, mask, i, a, b, period):
    """Product of the second differences along steps ``a`` and ``b``; 0 where a neighbour across is not known."""
    plus, minus = b + a, b - a
    if not (mask[i + plus] and mask[i - plus] and mask[i + minus] and mask[i - minus]):
        return np.float32(0)
    # Each difference is that of two neighbours, so that wrapped phase needs no other care.
    neighbours = _second_difference(phase, i + b, a, period) + _second_difference(phase, i - b, a, period)
    return neighbours - 2 * _second_difference(phase, i, a, period)


@jit(parallel=True, **_OPTIONS)
def wrapped_laplacian(phase, mask, spans, strides, along, across, period, out):
    """19-point Laplacian of a field or of phase with a ``period``; weights along x, y, z and across xy, xz, yz."""
    start, stop, pieces, _ = spans
    sx, sy = strides
    for piece in numba.prange(pieces.size - 1):
        for row in range(pieces[piece], pieces[piece + 1]):
            for i in range(start[row], stop[row]):
                out[i] = (
                    along[0] * _second_difference(phase, i, sx, period)
                    + along[1] * _second_difference(phase, i, sy, period)
                    + along[2] * _second_difference(phase, i, _ONE, period)
                    + across[0] * _product(phase, mask, i, sx, sy, period)
                    + across[1] * _product(phase, mask, i, sx, _ONE, period)
                    + across[2] * _product(phase, mask, i, sy, _ONE, period)
                )
