"""Kernels of split-gradient total variation: shrinkage of the gradient and its divergence in one pass."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(fastmath=True)
def _bounds(free, i, j, bit, bound, row):
    """Fill ``row`` with the shrinkage bound, 0 where ``free`` has ``bit`` set (an edge that is not penalised)."""
    if free.shape[0] > 1:
        for k in range(row.size):
            row[k] = np.float32(0) if free[i, j, k] & bit else bound


@jit(fastmath=True)
def _flux(chi, dual, index, ahead, h, bound, out):
    """Shrink (chi ahead - chi) h + dual for a row: ``dual`` takes the clipped part, ``out`` the rest less it."""
    axis, i, j = index
    i1, j1 = ahead
    for k in range(out.size):
        g = (chi[i1, j1, k] - chi[i, j, k]) * h + dual[axis, i, j, k]
        c = min(max(g, -bound[k]), bound[k])
        dual[axis, i, j, k] = c
        out[k] = g - 2 * c


@jit(fastmath=True)
def _flux_along(chi, dual, i, j, h, bound, out):
    """As :func:`_flux` for the difference along the row itself."""
    last = out.size - 1
    for k in range(last):
        out[k] = (chi[i, j, k + 1] - chi[i, j, k]) * h + dual[2, i, j, k]
    out[last] = (chi[i, j, 0] - chi[i, j, last]) * h + dual[2, i, j, last]
    for k in range(out.size):
        c = min(max(out[k], -bound[k]), bound[k])
        dual[2, i, j, k] = c
        out[k] -= 2 * c


@jit(fastmath=True)
def _peek(chi, dual, index, ahead, h, bound, out):
    """As :func:`_flux` but the dual stays as it is."""
    axis, i, j = index
    i1, j1 = ahead
    for k in range(out.size):
        g = (chi[i1, j1, k] - chi[i, j, k]) * h + dual[axis, i, j, k]
        out[k] = g - 2 * min(max(g, -bound[k]), bound[k])


@jit(parallel=True, fastmath=True)
def split_gradient(chi, dual, steps, bound, free, out, planes, first):
    """Fused half step of split-gradient total variation with periodic forward differences.

    ``dual`` (3, nx, ny, nz) becomes the clipped gradient + dual, ``out`` the adjoint gradient of (shrunk - dual).
    Blocks of planes run in parallel; ``planes`` holds each block's incoming flux, taken before any dual changes.
    """
    nx, ny, nz = chi.shape
    hx, hy, hz = steps
    blocks = first.size - 1
    for b in numba.prange(blocks):
        i1 = first[b]
        i = i1 - 1 if i1 > 0 else nx - 1
        limit, flux = np.full(nz, bound), np.empty(nz, np.float32)
        for j in range(ny):
            _bounds(free, i, j, 1, bound, limit)
            _peek(chi, dual, (0, i, j), (i1, j), hx, limit, flux)
            for k in range(nz):
                planes[b, j, k] = flux[k]
    for b in numba.prange(blocks):
        limit, flux, row = np.full(nz, bound), np.empty(nz, np.float32), np.empty(nz, np.float32)
        for i in range(first[b], first[b + 1]):
            i1 = i + 1 if i + 1 < nx else 0
            _bounds(free, i, ny - 1, 2, bound, limit)
            _peek(chi, dual, (1, i, ny - 1), (i, 0), hy, limit, row)
            for j in range(ny):
                j1 = j + 1 if j + 1 < ny else 0
                _bounds(free, i, j, 1, bound, limit)
                _flux(chi, dual, (0, i, j), (i1, j), hx, limit, flux)
                for k in range(nz):
                    out[i, j, k] = (planes[b, j, k] - flux[k]) * hx
                    planes[b, j, k] = flux[k]
                _bounds(free, i, j, 2, bound, limit)
                _flux(chi, dual, (1, i, j), (i, j1), hy, limit, flux)
                for k in range(nz):
                    out[i, j, k] += (row[k] - flux[k]) * hy
                    row[k] = flux[k]
                _bounds(free, i, j, 4, bound, limit)
                _flux_along(chi, dual, i, j, hz, limit, flux)
                out[i, j, 0] += (flux[nz - 1] - flux[0]) * hz
                for k in range(1, nz):
                    out[i, j, k] += (flux[k - 1] - flux[k]) * hz


@jit(parallel=True, fastmath=True)
def mark_edges(chi, limits, free):
    """Set bits 1, 2, 4 where the periodic forward difference along x, y, z exceeds its limit."""
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                here, bits = chi[i, j, k], 0
                if abs(chi[i1, j, k] - here) > limits[0]:
                    bits |= 1
                if abs(chi[i, j1, k] - here) > limits[1]:
                    bits |= 2
                if abs(chi[i, j, k1] - here) > limits[2]:
                    bits |= 4
                free[i, j, k] = bits
