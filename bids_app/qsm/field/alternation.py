# mypy: disable-error-code=no-untyped-def
"""Nyquist-frequency alternation of a field: no tissue makes it, and Laplacians see nothing but it.

Edges of air that are cut off at the highest frequency of the grid ring through the whole head with a period of two
voxels, k-space that ends there does the same (Gibbs), and slices that were acquired in turn can differ from their
neighbours by the drift between the two passes. A background method takes none of it for background, since the field is
not harmonic: it goes into the map.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Correction, Method
from bids_app.qsm.params import Params

#: Lines that are done at once: as many floats as the processor's vectors like.
_LANES = 16
#: Standard deviation of the window along a line in voxels: it passes frequencies within 0.03 of the highest one (0.5).
_WINDOW = 5.0
_REACH = 15
#: The frequency (per voxel) whose power says what the highest one should have, for structure and noise alike.
_REFERENCE = 0.42
#: Power relative to that of slightly slower changes from which the alternating part is removed, and from which all of
#: it is.
_EXCESS = (1.1, 1.5)
#: Shortest line with enough voxels to separate the two.
_SHORTEST = 16
#: So many planes of lines, evenly spaced, give the powers; and how many of their standard deviations do not count.
_PLANES = 48
_CHANCE = 3.0


class Alternation(NamedTuple):
    """Field without its alternating part; per axis that part's power over what it should be, and the share removed."""

    field: FloatArray
    excess: tuple[float, float, float] = (float("nan"), float("nan"), float("nan"))
    removed: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes along which something was removed."""
        return tuple(axis for axis, share in enumerate(self.removed) if share > 0)


@jit
def _high_pass(field, weights, p, q, lanes, high, known):
    """Fourth differences of the lines (p, q .. q + lanes) with the least weight of their voxels; 1 at frequency 0.5."""
    n = field.shape[0]
    for i in range(n):
        for t in range(_LANES):
            high[i, t] = 0.0
            known[i, t] = 0.0
        if 2 <= i < n - 2:
            for t in range(lanes):
                w = weights[i, p, q + t]
                for step in (-2, -1, 1, 2):
                    w = min(w, weights[i + step, p, q + t])
                if w > 0:
                    known[i, t] = w
                    high[i, t] = (
                        6 * field[i, p, q + t]
                        - 4 * (field[i - 1, p, q + t] + field[i + 1, p, q + t])
                        + field[i - 2, p, q + t]
                        + field[i + 2, p, q + t]
                    ) / 16


@jit
def _windowed(values, waves, known, window, i, top, below):
    """``top[b]``, ``below``: windowed sums of weight x value x wave b and of weights around place i, lane by lane."""
    n, reach = known.shape[0], window.size // 2
    top[:] = 0.0
    below[:] = 0.0
    for j in range(max(0, i - reach), min(n, i + reach + 1)):
        g = window[j - i + reach]
        for t in range(_LANES):
            below[t] += g * known[j, t]
        for b in range(waves.shape[0]):
            gw = g * waves[b, j]
            for t in range(_LANES):
                top[b, t] += gw * known[j, t] * values[j, t]


@jit(parallel=True)
def _powers(field, weights, waves, window, step, sums):
    """``sums[p]``: power of the lines of plane p in the band of each wave, and their voxels."""
    n, planes, width = field.shape
    count = waves.shape[0]
    for index in prange((planes + step - 1) // step):
        p = np.int64(index) * step
        high, known = np.empty((n, _LANES), np.float32), np.empty((n, _LANES), np.float32)
        top, below = np.empty((count, _LANES), np.float32), np.empty(_LANES, np.float32)
        for q in range(0, width, _LANES):
            lanes = min(_LANES, width - q)
            _high_pass(field, weights, p, q, lanes, high, known)
            for i in range(n):
                _windowed(high, waves, known, window, i, top, below)
                for t in range(lanes):
                    if known[i, t] > 0:
                        sums[index, count] += 1
                        for b in range(count):
                            sums[index, b] += np.float64(top[b, t]) * top[b, t] / below[t]


@jit(parallel=True)
def _subtract(field, weights, mask, waves, window, share, out):
    """Take the windowed alternating part (of the one wave) times ``share`` off, in the mask."""
    n, planes, width = field.shape
    for index in prange(planes):
        p = np.int64(index)
        high, known = np.empty((n, _LANES), np.float32), np.empty((n, _LANES), np.float32)
        top, below = np.empty((1, _LANES), np.float32), np.empty(_LANES, np.float32)
        for q in range(0, width, _LANES):
            lanes = min(_LANES, width - q)
            _high_pass(field, weights, p, q, lanes, high, known)
            for i in range(n):
                _windowed(high, waves, known, window, i, top, below)
                for t in range(lanes):
                    value = field[i, p, q + t]
                    if mask[i, p, q + t] and below[t] > 0:
                        value -= share * waves[0, i] * top[0, t] / below[t]
                    out[i, p, q + t] = value


def remove_alternation(
    total_field_ppm: FloatArray, mask: BoolArray, *, weights: FloatArray | None = None
) -> Alternation:
    """Remove Nyquist-frequency alternation along an axis, where there is more of it than there should be.

    Its power, in a narrow band at the highest frequency of the axis, is compared with that next to the band: noise and
    tissue have as much in both or less at the end. Beyond what chance does to noise, up to 1.1 times as much nothing
    is changed, from 1.5 times on the whole band is removed, whose own signal is a few percent of the grid's highest
    frequencies.

    Parameters
    ----------
    total_field_ppm : float32, ``[x, y, z]``
        Total field, finite inside the mask.
    mask : bool, ``[x, y, z]``
        Object; the field outside stays as it is.
    weights : float32, ``[x, y, z]``, optional
        Weights of the field (:func:`~bids_app.qsm.field.reliability.reliability_weights`).

    Returns
    -------
    Alternation
        ``field`` (float32, ppm, the input itself where nothing is removed), ``excess`` (power over that of slower
        changes, 1 for noise, nan where an axis has no line of 16 voxels) and ``removed`` (share, 0 to 1) of each axis.
    """
    field = np.asarray(total_field_ppm, np.float32)
    known = mask.astype(np.float32) if weights is None else np.where(mask, weights, np.float32(0))
    window = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / _WINDOW) ** 2).astype(np.float32)
    excess, removed = [], []
    for axis in range(3):
        ratio, deviation = _excess(_along(field, axis), _along(known, axis), window)
        excess.append(ratio)
        over = (ratio - _CHANCE * deviation - _EXCESS[0]) / (_EXCESS[1] - _EXCESS[0])
        removed.append(min(over, 1.0) if over > 0 else 0.0)
        if removed[-1] > 0:
            wave, out = _wave(field.shape[axis], 0.5)[:1], np.empty_like(field)
            lines, here, where = (_along(a, axis) for a in (field, known, mask))
            _subtract(lines, here, where, wave, window, np.float32(removed[-1]), _along(out, axis))
            field = out
    x, y, z = excess
    return Alternation(field, (x, y, z), (removed[0], removed[1], removed[2]))


def _along(array, axis):
    """Return a view with an axis first, and last the one with the shortest step that is left."""
    return array.transpose(((0, 1, 2), (1, 0, 2), (2, 0, 1))[axis])


def _wave(count, frequency):
    """Return cosine and sine of a frequency (per voxel)."""
    angle = 2 * np.pi * frequency * np.arange(count)
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def _excess(field, weights, window) -> tuple[float, float]:
    """Return the power at the highest frequency along the first axis over that next to it, and its SD for noise."""
    n, planes, _ = field.shape
    if n < _SHORTEST:
        return float("nan"), 0.0
    waves = np.concatenate([_wave(n, 0.5)[:1], _wave(n, _REFERENCE)])
    step = max(1, planes // _PLANES)
    sums = np.zeros(((planes + step - 1) // step, 4))
    _powers(field, weights, waves, window, step, sums)
    top, cosine, sine, voxels = sums.sum(axis=0)
    reference = (cosine + sine) / np.sin(np.pi * _REFERENCE) ** 8  # what the fourth differences take of it
    if not reference > 0:
        return float("nan"), 0.0
    # Of the window's values so many are independent; next to the band there are two for each, cosine and sine.
    independent = voxels * float(np.sum(window**2)) / float(np.sum(window)) ** 2
    return float(top / reference), float(np.sqrt(3 / independent)) * float(top / reference)


ALTERNATION: Correction = Method(
    name="alternation",
    kind="correction",
    label="Removal of Nyquist-frequency alternation",
    function=remove_alternation,
    params=Params,
    sentence=(
        "The part of the total field that alternates from voxel to voxel was removed along the "
        "axes where it exceeds the part that changes slightly more slowly."
    ),
    maturity="this software's own",
    uses=frozenset({"weights"}),
)
