"""The parabola of a smooth wrapped phase, from its steps over a few voxels: multiples of 2 pi do not count."""

from collections.abc import Sequence

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit

#: x, y, z, their squares, xy, yz and xz.
_TERMS = 9


@jit
def _slopes(axis, x, y, z, out):  # type: ignore[no-untyped-def]
    """Fill the derivatives of the terms along an axis."""
    out[:] = 0.0
    out[axis] = 1.0
    if axis == 0:
        out[3], out[6], out[8] = 2 * x, y, z
    elif axis == 1:
        out[4], out[6], out[7] = 2 * y, x, z
    else:
        out[5], out[7], out[8] = 2 * z, y, x


@jit(parallel=True)
def _equations(phase, weight, known, steps, scale, sums):  # type: ignore[no-untyped-def]
    """``sums[i]``: normal matrix and right side of the steps that begin in plane i."""
    nx, ny, nz = phase.shape
    turn = np.float32(2 * np.pi)
    for index in prange(nx):
        i = np.int64(index)
        slopes = np.empty(_TERMS)
        for axis in range(3):
            length = steps[axis]
            a, b, c = (length, 0, 0) if axis == 0 else ((0, length, 0) if axis == 1 else (0, 0, length))
            if i + a >= nx:
                continue
            for j in range(ny - b):
                for k in range(nz - c):
                    if not (known[i, j, k] and known[i + a, j + b, k + c]):
                        continue
                    w = np.float64(weight[i, j, k]) * weight[i + a, j + b, k + c]
                    step = phase[i + a, j + b, k + c] - phase[i, j, k]
                    step -= turn * np.rint(step / turn)
                    x, y, z = (i + a / 2) * scale[0] - 1, (j + b / 2) * scale[1] - 1, (k + c / 2) * scale[2] - 1
                    _slopes(axis, x, y, z, slopes)
                    across = length * scale[axis]
                    for p in range(_TERMS):
                        if slopes[p] != 0:
                            wp = w * slopes[p] * across
                            sums[i, p, _TERMS] += wp * step
                            for q in range(_TERMS):
                                sums[i, p, q] += wp * slopes[q] * across


@jit(parallel=True)
def _polynomial(coefficients, scale, out):  # type: ignore[no-untyped-def]
    nx, ny, nz = out.shape
    c = coefficients
    for index in prange(nx):
        x = np.int64(index) * scale[0] - 1
        for j in range(ny):
            y = j * scale[1] - 1
            for k in range(nz):
                z = k * scale[2] - 1
                out[np.int64(index), j, k] = (
                    x * (c[0] + c[3] * x + c[6] * y + c[8] * z)
                    + y * (c[1] + c[4] * y + c[7] * z)
                    + z * (c[2] + c[5] * z)
                )


def parabola(phase: FloatArray, weight: FloatArray, known: BoolArray, steps: Sequence[int]) -> FloatArray:
    """Return the polynomial of second order, without constant, whose steps fit those of a phase best.

    Parameters
    ----------
    phase : float32, ``[x, y, z]``
        Phase in rad, wrapped or not, that changes by less than pi over a step.
    weight : float32, ``[x, y, z]``
        Weights; a step has the product of both ends'.
    known : bool, ``[x, y, z]``
        Voxels that count; the phase is finite there.
    steps : 3 integers
        Length of the steps along each axis in voxels.

    Returns
    -------
    float32, ``[x, y, z]``, rad; zero where no two voxels have the distance of a step.
    """
    scale = 2.0 / np.asarray(phase.shape)
    sums = np.zeros((phase.shape[0], _TERMS, _TERMS + 1))
    _equations(phase, weight, known, np.asarray(steps, np.int64), scale, sums)
    total = sums.sum(axis=0)
    coefficients = np.linalg.lstsq(total[:, :_TERMS], total[:, _TERMS], rcond=1e-9)[0]
    out = np.empty(phase.shape, np.float32)
    _polynomial(coefficients, scale, out)
    return out
