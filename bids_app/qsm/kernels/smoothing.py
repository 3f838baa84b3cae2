"""Kernels of Gaussian smoothing by box filters, and of phase as a complex number."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit

#: Lines that are smoothed together.
_LINES = 64


@jit
def _means(lines, other, radii):
    """Take means over ``2 radius + 1`` voxels along the first axis of [voxel, line], one radius after another.

    The outside counts as zero. Returns the one of both arrays that holds the result; the other is written to as well.
    """
    count = lines.shape[0]
    total = np.empty(_LINES, np.float64)
    for radius in radii:
        scale = 1.0 / (2 * radius + 1)
        total[:] = 0
        for j in range(min(radius, count)):
            for t in range(_LINES):
                total[t] += lines[j, t]
        for j in range(count):
            if j + radius < count:
                for t in range(_LINES):
                    total[t] += lines[j + radius, t]
            if j > radius:
                for t in range(_LINES):
                    total[t] -= lines[j - radius - 1, t]
            for t in range(_LINES):
                other[j, t] = total[t] * scale
        lines, other = other, lines
    return lines


@jit(parallel=True)
def boxes_across(values, radii):
    """Replace ``values`` [block, voxel, line] by the means along its middle axis, by one box after another."""
    blocks, count, width = values.shape
    parts = (width + _LINES - 1) // _LINES
    for job in numba.prange(blocks * parts):
        block, first = job // parts, job % parts * _LINES
        lines, other = np.zeros((count, _LINES), np.float32), np.empty((count, _LINES), np.float32)
        used = min(_LINES, width - first)
        for j in range(count):
            for t in range(used):
                lines[j, t] = values[block, j, first + t]
        means = _means(lines, other, radii)
        for j in range(count):
            for t in range(used):
                values[block, j, first + t] = means[j, t]


@jit(parallel=True)
def boxes_along(values, radii):
    """Replace ``values`` [line, voxel] by the means along its rows, by one box after another."""
    rows, count = values.shape
    for job in numba.prange((rows + _LINES - 1) // _LINES):
        first = job * _LINES
        lines, other = np.zeros((count, _LINES), np.float32), np.empty((count, _LINES), np.float32)
        used = min(_LINES, rows - first)
        for t in range(used):
            for j in range(count):
                lines[j, t] = values[first + t, j]
        means = _means(lines, other, radii)
        for t in range(used):
            for j in range(count):
                values[first + t, j] = means[j, t]


@jit(parallel=True)
def complex_signal(phase, weight, known, real, imag):
    """Set ``real`` and ``imag`` to weight exp(i phase) where the phase is known, 0 elsewhere; flat arrays."""
    for v in numba.prange(phase.size):
        real[v] = imag[v] = 0
        if known[v]:
            real[v] = weight[v] * np.cos(phase[v])
            imag[v] = weight[v] * np.sin(phase[v])


@jit(parallel=True)
def angles(real, imag):
    """Turn ``real`` into the angle of the complex number; flat arrays."""
    for v in numba.prange(real.size):
        real[v] = np.arctan2(imag[v], real[v])
