# mypy: disable-error-code=no-untyped-def
"""Morphology of masks, fast: the neighbourhood is the cross of six, one step an iteration; the outside is not set."""

import numpy as np
import numpy.typing as npt
from numba import prange

from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.kernels import jit

Bytes = npt.NDArray[np.uint8]


@jit(parallel=True)
def _step(mask, shape, wanted, out):
    """Set ``out`` to ``wanted`` where the voxel or one of its six neighbours is ``wanted``, else to its own value.

    Both are padded by one voxel on every side and flat, so that rows can be shifted freely.
    """
    nx, ny, nz = shape
    plane = ny * nz
    for index in prange(1, nx - 1):
        i = np.int64(index)
        for j in range(1, ny - 1):
            s = (i * ny + j) * nz
            here, below, above = mask[s + 1 : s + nz - 1], mask[s : s + nz - 2], mask[s + 2 : s + nz]
            left, right = mask[s + 1 - nz : s - 1], mask[s + nz + 1 : s + 2 * nz - 1]
            front, back = mask[s + 1 - plane : s + nz - 1 - plane], mask[s + 1 + plane : s + nz - 1 + plane]
            row = out[s + 1 : s + nz - 1]
            if wanted:
                for k in range(nz - 2):
                    row[k] = here[k] | below[k] | above[k] | left[k] | right[k] | front[k] | back[k]
            else:
                for k in range(nz - 2):
                    row[k] = here[k] & below[k] & above[k] & left[k] & right[k] & front[k] & back[k]


@jit(parallel=True)
def _count27(mask, shape, out):
    nx, ny, nz = shape
    for index in prange(1, nx - 1):
        i = np.int64(index)
        column = np.empty(nz, np.uint8)
        for j in range(1, ny - 1):
            column[:] = 0
            for a in range(-1, 2):
                for b in range(-1, 2):
                    s = ((i + a) * ny + j + b) * nz
                    row = mask[s : s + nz]
                    for k in range(nz):
                        column[k] += row[k]
            s = (i * ny + j) * nz
            for k in range(1, nz - 1):
                out[s + k] = column[k - 1] + column[k] + column[k + 1]


@jit
def _find_runs(mask, value, first, begin, end):
    """Runs of ``value`` along z: ``first[row]`` is the number of a row's first run; a count without arrays."""
    rows, nz = mask.shape
    count = 0
    for row in range(rows):
        first[row] = count
        inside = False
        for k in range(nz):
            if (mask[row, k] == value) != inside:
                inside = not inside
                if begin.size:
                    if inside:
                        begin[count] = k
                    else:
                        end[count - 1] = k
                if inside:
                    count += 1
        if inside and begin.size:
            end[count - 1] = nz
    first[rows] = count
    return count


@jit(inline="always")
def _root(parent, a):
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@jit
def _join(parent, first, begin, end, row, other):
    """Unite the runs of two rows that touch each other."""
    a, b = first[row], first[other]
    while a < first[row + 1] and b < first[other + 1]:
        if begin[a] < end[b] and begin[b] < end[a]:
            low, high = _root(parent, a), _root(parent, b)
            if low > high:
                low, high = high, low
            parent[high] = low
        if end[a] < end[b]:
            a += 1
        else:
            b += 1


@jit
def _parts(shape, first, begin, end):
    """Return for every run the first run of its connected part."""
    nx, ny = shape[0], shape[1]
    parent = np.arange(begin.size)
    for row in range(nx * ny):
        if row % ny > 0:
            _join(parent, first, begin, end, row, row - 1)
        if row >= ny:
            _join(parent, first, begin, end, row, row - ny)
    for a in range(begin.size):
        parent[a] = _root(parent, a)
    return parent


@jit
def _paint(first, begin, end, chosen, value, out):
    for row in range(out.shape[0]):
        for a in range(first[row], first[row + 1]):
            if chosen[a]:
                out[row, begin[a] : end[a]] = value


def _padded(mask: BoolArray, margin: int = 1) -> Bytes:
    return np.pad(mask.view(np.uint8), margin)


def _inner(padded: Bytes, margin: int = 1) -> BoolArray:
    inner = np.ascontiguousarray(padded[(slice(margin, -margin),) * 3])
    return inner.view(np.bool_)


def _repeat(padded: Bytes, times: int, wanted: bool) -> Bytes:
    other = padded.copy()
    for _ in range(times):
        _step(padded.reshape(-1), padded.shape, wanted, other.reshape(-1))
        padded, other = other, padded
    return padded


def dilate(mask: BoolArray, times: int) -> BoolArray:
    """Grow the mask by ``times`` steps."""
    return _inner(_repeat(_padded(mask), times, True)) if times > 0 else mask


def erode(mask: BoolArray, times: int) -> BoolArray:
    """Shrink the mask by ``times`` steps; it is not shrunk from the edge of the field of view.

    An object that is cut by the field of view goes on beyond it.
    """
    if times < 1:
        return mask
    return _inner(_repeat(np.pad(mask.view(np.uint8), 1, mode="edge"), times, False))


def opened(mask: BoolArray, times: int) -> BoolArray:
    """Erode and dilate: removes what is thinner than ``times`` steps."""
    return dilate(erode(mask, times), times)


def closed(mask: BoolArray, times: int) -> BoolArray:
    """Dilate and erode, with a margin around the volume: closes gaps."""
    if times < 1:
        return mask
    margin = times + 1
    return _inner(_repeat(_repeat(_padded(mask, margin), times, True), times, False), margin)


def fill_neighbours(mask: BoolArray, count: int) -> BoolArray:
    """Add voxels of whose 26 neighbours at least ``count`` are set."""
    padded = _padded(mask)
    total = np.zeros_like(padded)
    _count27(padded.reshape(-1), padded.shape, total.reshape(-1))
    return mask | (_inner(total).view(np.uint8) >= count)


def _runs(mask: BoolArray, value: bool) -> tuple[npt.NDArray[np.int64], ...]:
    rows = np.ascontiguousarray(mask).reshape(-1, mask.shape[2])
    first, nothing = np.empty(len(rows) + 1, np.int64), np.empty(0, np.int64)
    count = _find_runs(rows, value, first, nothing, nothing)
    begin, end = np.empty(count, np.int64), np.empty(count, np.int64)
    _find_runs(rows, value, first, begin, end)
    return first, begin, end, _parts(mask.shape, first, begin, end)


def piece_sizes(mask: BoolArray) -> npt.NDArray[np.float64]:
    """Return the numbers of voxels of the parts connected over faces."""
    _, begin, end, part = _runs(mask, True)
    sizes = np.bincount(part, weights=end - begin).astype(np.float64)
    return sizes[sizes > 0]


def largest(mask: BoolArray) -> BoolArray:
    """Keep the largest part connected over faces (the first of equals)."""
    first, begin, end, part = _runs(mask, True)
    if not part.size:
        return mask
    sizes = np.bincount(part, weights=end - begin)
    out = np.zeros(mask.shape, np.bool_)
    _paint(first, begin, end, part == np.argmax(sizes), True, out.reshape(-1, mask.shape[2]))
    return out


def fill_holes(mask: BoolArray) -> BoolArray:
    """Add what the mask encloses on all sides."""
    first, begin, end, part = _runs(mask, False)
    if not part.size:
        return mask
    nx, ny, nz = mask.shape
    row = np.repeat(np.arange(nx * ny), np.diff(first))
    x, y = row // ny, row % ny
    edge = (x == 0) | (x == nx - 1) | (y == 0) | (y == ny - 1) | (begin == 0) | (end == nz)
    outside = np.zeros(part.size, np.bool_)
    outside[part[edge]] = True
    out = mask.copy()
    _paint(first, begin, end, ~outside[part], True, out.reshape(-1, nz))
    return out
