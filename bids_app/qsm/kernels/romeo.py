# mypy: ignore-errors
# numba types these functions itself
"""Kernels of ROMEO: edge costs, growth over the most reliable edges, temporal unwrapping.

A cell is the 32-bit word of a voxel: the costs (1 best to 255 worst, 0 no edge) of its edges towards the next voxel
along x, y and z in the three low bytes, and :data:`DONE` once the voxel is unwrapped or when it is none of the mask.
One plane of zeros lies before the first voxel and one after the last, so that a look aside never leaves the array.
"""

import numpy as np
from numba import prange

from bids_app.qsm.kernels.cache import jit

TWO_PI = np.float32(2 * np.pi)
_TURNS = np.float32(1 / (2 * np.pi))
_PER_PI = np.float32(1 / np.pi)
#: Adding and subtracting 1.5 * 2^23 rounds a small float32 to the nearest integer; unlike rint it always vectorises.
_ROUND = np.float32(12582912)
_FLOOR, _REST, _ONE, _HALF = np.float32(0.1), np.float32(0.9), np.float32(1), np.float32(0.5)
DONE = np.uint32(1 << 24)  # above every word of costs
_BYTE = np.uint32(255)
#: Unsigned numbers for the growth: with signed ones every access to an array asks whether its index is negative.
_NONE, _NEXT, _BACK, _FAR = np.uint64(0), np.uint64(1), np.uint64(4), np.uint64(256)
_EIGHT, _AXIS, _MIDDLE, _ZERO = np.uint64(8), np.uint64(3), np.float32(256), np.float32(0)


@jit(inline="always")
def _wrapped(x):
    return x - TWO_PI * ((x * _TURNS + _ROUND) - _ROUND)


@jit
def _coherence(p, q, out):
    for k in range(out.size):
        out[k] = _FLOOR + _REST * (_ONE - abs(_wrapped(q[k] - p[k])) * _PER_PI)


@jit
def _gradient(p, q, s, t, ratio, out):
    """Times the coherence of the step with that of the second echo, scaled by the echo times."""
    for k in range(out.size):
        difference = abs(_wrapped(q[k] - p[k]) * ratio - _wrapped(t[k] - s[k]))
        out[k] *= _FLOOR + _REST * max(np.float32(0), _ONE - difference)


@jit
def _linearity(o, p, q, r, out):
    """Times the linearity along the edge: second differences on both of its sides."""
    for k in range(out.size):
        left = abs(_wrapped(q[k] - p[k] - (p[k] - o[k])))
        right = abs(_wrapped(r[k] - q[k] - (q[k] - p[k])))
        w = max(np.float32(0), _ONE - _HALF * left) * max(np.float32(0), _ONE - _HALF * right)
        out[k] *= _FLOOR + _REST * w


@jit
def _magnitude(m, n, scale, out):
    """Times the likeness of both magnitudes, and their distance from the noise floor: no good bridge."""
    for k in range(out.size):
        low, high = min(m[k], n[k]), max(m[k], n[k])
        w = low / max(high, np.float32(1e-30))
        out[k] *= (_FLOOR + _REST * w * w) * (_FLOOR + _REST * min(_ONE, low * scale))


@jit
def _store(weight, inside, neighbour, shift, cells):
    for k in range(cells.size):
        cost = np.uint32(np.int32(np.float32(1.5) + (_ONE - weight[k]) * np.float32(254)))
        both = np.uint32(inside[k] & neighbour[k])
        cells[k] |= (cost * both) << shift


@jit(parallel=True)
def edge_cells(phase, second, ratio, magnitude, scale, mask, use, cells):  # noqa: C901
    """Fill ``cells`` (flat, a plane longer than the volume at both ends); ``use``: whether echo 2 and magnitude count.

    ``phase``, ``second``, ``magnitude`` are [x, y, z] float32, ``mask`` uint8; rows along z are done edge type by edge
    type, in loops with few arrays, which the compiler can vectorise.
    """
    nx, ny, nz = phase.shape
    use_second, use_magnitude = use
    for index in prange(nx):
        i = np.int64(index)  # the unsigned loop index would make floats of differences
        weight = np.empty(nz, np.float32)
        for j in range(ny):
            start = ((i + 1) * ny + j) * nz
            row = cells[start : start + nz]
            row[:] = 0
            if not mask[i, j].any():
                continue
            for d in range(3):
                a, b, last = i, j, nz
                if d == 0:
                    a = i + 1
                elif d == 1:
                    b = j + 1
                else:
                    last = nz - 1
                if a >= nx or b >= ny or last < 1:
                    continue
                first = 1 if d == 2 else 0  # where the far end of an edge begins within its row
                w = weight[:last]
                p, q = phase[i, j, :last], phase[a, b, first : last + first]
                _coherence(p, q, w)
                if use_second:
                    _gradient(p, q, second[i, j, :last], second[a, b, first : last + first], ratio, w)
                if d == 2:
                    if nz >= 4:
                        z = phase[i, j]
                        _linearity(z[: nz - 3], z[1 : nz - 2], z[2 : nz - 1], z[3:], w[1 : nz - 2])
                elif 2 * i - a >= 0 and 2 * j - b >= 0 and 2 * a - i < nx and 2 * b - j < ny:
                    _linearity(phase[2 * i - a, 2 * j - b], p, q, phase[2 * a - i, 2 * b - j], w)
                if use_magnitude:
                    _magnitude(magnitude[i, j, :last], magnitude[a, b, first : last + first], scale, w)
                _store(w, mask[i, j, :last], mask[a, b, first : last + first], np.uint32(8 * d), row[:last])


@jit
def _goodness(cell, shift, out):
    for k in range(out.size):
        cost = (cell[k] >> shift) & _BYTE
        out[k] += np.float32(np.int32(256 - cost) if cost > 0 else np.int32(0))


@jit(parallel=True)
def mean_quality(cells, shape, out):
    """Mean weight (0 to 1) of the six edges of every voxel; ``out`` is [x, y, z]."""
    nx, ny, nz = shape
    for index in prange(nx):
        i = np.int64(index)
        for j in range(ny):
            start = ((i + 1) * ny + j) * nz
            row = out[i, j]
            row[:] = 0
            _goodness(cells[start : start + nz], np.uint32(0), row)
            _goodness(cells[start : start + nz], np.uint32(8), row)
            _goodness(cells[start : start + nz], np.uint32(16), row)
            _goodness(cells[start - ny * nz : start - ny * nz + nz], np.uint32(0), row)
            _goodness(cells[start - nz : start], np.uint32(8), row)
            _goodness(cells[start - 1 : start - 1 + nz], np.uint32(16), row)
            for k in range(nz):
                row[k] *= np.float32(1 / (6 * 255))


@jit(inline="always")
def _offer(word, at, shift, stack, tops, entry, lowest):
    """Put the edge of ``word`` at ``shift`` into its bucket when there is one and its far end is not done.

    Nobody can foretell which edges these are: without a branch, the others go to bucket 0, which does not grow.
    """
    cost = np.uint64((word >> shift) & _BYTE) * np.uint64(at < DONE)
    grows = np.uint64(cost > _NONE)
    place = tops[cost]
    stack[place] = entry
    tops[cost] = place + grows
    return min(lowest, cost + (_FAR - _FAR * grows))


@jit
def _count(cells, capacity):
    for v in range(cells.size):
        word = cells[v]
        if word > 0 and word < DONE:
            capacity[word & _BYTE] += 1
            capacity[(word >> np.uint32(8)) & _BYTE] += 1
            capacity[(word >> np.uint32(16)) & _BYTE] += 1


@jit
def grow(phase, cells, mask, shape, second, ratio, strength):
    """Unwrap ``phase`` (flat) in place along the minimum spanning tree of each connected part of ``mask`` (flat).

    Prim's algorithm with one bucket a cost. An edge is offered once at most, so that the counts of the costs bound the
    buckets and all of them share one array; the last edge in is the first out, which keeps the front in the cache.
    The voxel a tree starts from matters only by multiples of 2 pi: every part is shifted by those that bring its
    median nearest to zero, or with which the ``second`` echo (flat; ``ratio`` of the echo times, 0 without) agrees
    better. Voxels count by the square of their ``strength`` (flat): air has no say. Cells outside the mask are marked
    as done.
    """
    plane = np.uint64(shape[1] * shape[2])
    steps = (plane, np.uint64(shape[2]), _NEXT)
    for v in range(mask.size):
        if mask[v] == 0:
            cells[np.uint64(v) + plane] |= DONE
    capacity = np.zeros(256, np.int64)
    _count(cells, capacity)
    begin = np.ones(257, np.uint64)  # place 0 takes what is no edge
    for c in range(1, 256):
        begin[c + 1] = begin[c] + np.uint64(capacity[c])
    stack = np.empty(begin[256], np.uint32)
    tops = begin[:256].copy()
    tops[0] = 0
    order = np.empty(np.count_nonzero(mask), np.uint32)
    turns = np.zeros(513, np.float64)
    reached = _NONE
    for seed in range(mask.size):
        current = np.uint64(seed) + plane
        if cells[current] >= DONE:
            continue
        part, lowest = reached, _FAR
        turns[:] = 0
        while True:
            word = cells[current]
            cells[current] = word | DONE
            order[reached] = current
            reached += _NEXT
            weight = np.float64(strength[current - plane])
            turns[np.uint64(min(max(np.rint(phase[current - plane] * _TURNS) + _MIDDLE, _ZERO), 2 * _MIDDLE))] += (
                weight * weight
            )
            # An entry is its far end's index times eight and the way back to its near end.
            for d in range(3):
                step, shift, way = steps[d], np.uint32(8 * d), np.uint64(d)
                ahead, behind = current + step, current - step
                lowest = _offer(word, cells[ahead], shift, stack, tops, ahead * _EIGHT + way, lowest)
                back = cells[behind]
                lowest = _offer(back, back, shift, stack, tops, behind * _EIGHT + _BACK + way, lowest)
            is_open = False
            while lowest < _FAR and not is_open:
                top = tops[lowest]
                if top == begin[lowest]:
                    lowest += _NEXT
                    continue
                tops[lowest] = top - _NEXT
                entry = np.uint64(stack[top - _NEXT])
                current = entry // _EIGHT
                is_open = cells[current] < DONE
            if not is_open:
                break
            step = steps[entry & _AXIS]
            old = current + step if entry & _BACK else current - step
            value = phase[current - plane]
            phase[current - plane] = value - TWO_PI * np.rint((value - phase[old - plane]) * _TURNS)
        _shift_part(phase, second, ratio, strength, order[part:reached], np.int64(plane), turns)


@jit
def _shift_part(phase, second, ratio, strength, order, plane, turns):
    """Subtract multiples of 2 pi from a part: those of its median, or of the second echo."""
    total = turns.sum()
    if not total > 0:
        return  # there is no signal that could decide
    below, middle = 0.0, 0
    while 2 * (below + turns[middle]) < total and middle < turns.size - 1:
        below += turns[middle]
        middle += 1
    shift = np.float32(middle - 256)
    if ratio > 0:
        stride = 1 + order.size // 20000
        agreement, votes, middle_turns = np.zeros(7, np.float64), 0.0, 0.0
        for n in range(0, order.size, stride):
            v = np.int64(order[n]) - plane
            weight = np.float64(strength[v]) * np.float64(strength[v])
            votes += weight
            middle_turns += weight * (phase[v] * _TURNS - shift)
            for t in range(7):
                expected = (phase[v] - TWO_PI * (shift + np.float32(t - 3))) * ratio
                agreement[t] += weight * np.cos(second[v] - expected)
        # Where the ratio of the echo times is a whole number or a simple fraction, several multiples of 2 pi agree as
        # well: of these the one with the smallest field is taken.
        best, smallest = 3, np.inf
        for t in range(7):
            field = abs(middle_turns - (t - 3) * votes)
            if agreement[t] >= agreement.max() - 0.1 * votes and field < smallest:
                best, smallest = t, field
        shift += np.float32(best - 3)
    if shift != 0:
        for n in range(order.size):
            phase[np.int64(order[n]) - plane] -= TWO_PI * shift


@jit(parallel=True)
def follow(phase, source, ratio, mask):
    """Add the multiple of 2 pi to ``phase`` (flat) that brings it nearest to ``ratio`` times ``source``, 0 outside."""
    for v in prange(phase.size):
        value = phase[v]
        turned = value - TWO_PI * (((value - source[v] * ratio) * _TURNS + _ROUND) - _ROUND)
        phase[v] = turned if mask[v] else np.float32(0)


@jit(parallel=True)
def take(source, box, out, mask):
    """Copy a box out of an array; what is not finite becomes 0 and leaves the ``mask`` (of the box, uint8)."""
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                value = np.float32(source[box[0] + i, box[1] + j, box[2] + k])
                if not np.isfinite(value):
                    mask[i, j, k] = 0
                    value = np.float32(0)
                out[i, j, k] = value
