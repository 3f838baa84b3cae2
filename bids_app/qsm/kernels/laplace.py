"""Kernels of conjugate gradients on the 19-point Laplacian over row spans."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit

# Sums are not left to the compiler ("reassoc"): it ordered them in one way when the kernels were just compiled and in
# another when they came from the cache. Each place of a row has a sum of its own, which vectorises as well.
_OPTIONS = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}
_ONE = np.uint64(1)


@jit(**_OPTIONS)
def _sum(values):
    total = 0.0
    for value in values:
        total += value
    return total


@jit(**_OPTIONS)
def _laplacian_row(array, a, b, rows, weights, out, sums):
    """Negative 19-point Laplacian of a row of voxels; its product with the array is added to the sums."""
    xm, xp, ym, yp = rows[0], rows[1], rows[2], rows[3]
    mm, pp, pm, mp = rows[4], rows[5], rows[6], rows[7]
    centre, x, y, z, xy, xz, yz = weights
    for i in range(a, b):
        out[i] = (
            centre * array[i]
            - x * (array[i + xm] + array[i + xp])
            - y * (array[i + ym] + array[i + yp])
            - xy * (array[i + mm] + array[i + pp] + array[i + mp] + array[i + pm])
        )
    for i in range(a, b):
        out[i] -= (
            z * (array[i - _ONE] + array[i + _ONE])
            + xz * (array[i + xm - _ONE] + array[i + xm + _ONE] + array[i + xp - _ONE] + array[i + xp + _ONE])
            + yz * (array[i + ym - _ONE] + array[i + ym + _ONE] + array[i + yp - _ONE] + array[i + yp + _ONE])
        )
    for i in range(a, b):
        sums[i - a] += out[i] * array[i]


@jit(parallel=True, **_OPTIONS)
def laplacian(array, spans, weights, out):
    """Negative Laplacian over the spans; returns <array, out>."""
    start, stop, pieces, longest, neighbours = spans
    partial = np.zeros(pieces.size - 1)
    for piece in numba.prange(pieces.size - 1):
        sums = np.zeros(longest)
        for row in range(pieces[piece], pieces[piece + 1]):
            _laplacian_row(array, start[row], stop[row], neighbours[row], weights, out, sums)
        partial[piece] = _sum(sums)
    return _sum(partial)


@jit(**_OPTIONS)
def _advance_row(solution, residual, direction, image, a, b, step, sums):
    for i in range(a, b):
        solution[i] += step * direction[i]
    for i in range(a, b):
        residual[i] -= step * image[i]
    for i in range(a, b):
        sums[i - a] += residual[i] * residual[i]


@jit(parallel=True, **_OPTIONS)
def advance(solution, residual, direction, image, spans, step):
    """Take a step; returns the new squared norm of the residual."""
    start, stop, pieces, longest, _ = spans
    partial = np.zeros(pieces.size - 1)
    for piece in numba.prange(pieces.size - 1):
        sums = np.zeros(longest)
        for row in range(pieces[piece], pieces[piece + 1]):
            _advance_row(solution, residual, direction, image, start[row], stop[row], step, sums)
        partial[piece] = _sum(sums)
    return _sum(partial)


@jit(**_OPTIONS)
def _turn_row(direction, residual, a, b, factor):
    for i in range(a, b):
        direction[i] = residual[i] + factor * direction[i]


@jit(parallel=True, **_OPTIONS)
def turn(direction, residual, spans, factor):
    """Set direction = residual + factor direction over the spans."""
    start, stop, pieces, _, _ = spans
    for piece in numba.prange(pieces.size - 1):
        for row in range(pieces[piece], pieces[piece + 1]):
            _turn_row(direction, residual, start[row], stop[row], factor)
