"""R2 from multi-echo spin echoes by a dictionary of extended phase graphs."""

from collections.abc import Sequence

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, SpinEcho
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.relaxometry.echoes import checked_echoes, unpack
from bids_app.qsm.relaxometry.epg import EpgParams, epg_dictionary, is_cpmg
from bids_app.qsm.results import SpinEchoFit


@jit(inline="always")
def _best(signal, used, book, inverse, score):  # type: ignore[no-untyped-def]
    """Return the atom of ``book`` [echo, atom] with the largest projection over its norm."""
    atoms = score.size
    for a in range(atoms):
        score[a] = 0
    for e in range(used):
        s = signal[e]
        for a in range(atoms):
            score[a] += s * book[e, a]
    top = np.float32(0)
    for a in range(atoms):
        score[a] *= inverse[used - 1, a]
        top = max(top, score[a])
    place = 0
    while place < atoms - 1 and score[place] != top:
        place += 1
    return place


@jit(inline="always")
def _summit(score, row, nodes, near):  # type: ignore[no-untyped-def]
    """Return the place of the largest score of an angle's row near a node, and its height between the nodes."""
    first, last = max(near - 4, 1), min(near + 4, nodes - 2)
    best = first
    for r in range(first, last + 1):
        if score[row * nodes + r] > score[row * nodes + best]:
            best = r
    low, top, high = score[row * nodes + best - 1], score[row * nodes + best], score[row * nodes + best + 1]
    bend = low - 2 * top + high
    return best, top - 0.125 * (high - low) ** 2 / bend if bend < 0 else top


@jit(inline="always")
def _angle_between(score, place, nodes):  # type: ignore[no-untyped-def]
    """Return the angle as a real number of steps: a parabola through the summits of three neighbouring angles."""
    row, near = place // nodes, place % nodes
    rows = score.size // nodes
    if row == 0 or row == rows - 1:
        return float(row)
    # R2 and angle trade off along a ridge: each neighbour's summit is looked for near that of the one before.
    r1, top = _summit(score, row, nodes, near)
    _, low = _summit(score, row - 1, nodes, r1)
    _, high = _summit(score, row + 1, nodes, r1)
    bend = low - 2 * top + high
    return row + min(max(0.5 * (low - high) / bend, -1.0), 1.0) if bend < 0 else float(row)


@jit(parallel=True, fastmath={"reassoc", "contract"})
def _fit_angle(magnitude, mask, book, inverse, limits, nodes, angle):  # type: ignore[no-untyped-def]
    """Write the place of the best refocusing angle (as a real number of nodes) of every voxel of the mask."""
    echoes, voxels = magnitude.shape
    atoms = book.shape[1]
    # Blocks of voxels share one workspace: an allocation per voxel would cost more than its sums.
    blocks = (voxels + 4095) // 4096
    for b in prange(blocks):
        signal, score = np.empty(echoes, np.float32), np.empty(atoms, np.float32)
        for v in range(b * 4096, min((b + 1) * 4096, voxels)):
            angle[v] = 0
            if mask[v]:
                used = unpack(magnitude, v, limits, signal)
                if used > 2:
                    place = _best(signal, used, book, inverse, score)
                    angle[v] = np.float32(_angle_between(score, place, nodes))


@jit(inline="always")
def _solve(signal, used, row, place, step, free, other):  # type: ignore[no-untyped-def]
    """Return (offset in nodes, S0, residual power, SD of ln R2) around the best node of ``row`` [echo, node]."""
    q = np.zeros(3)
    for c in range(3):
        top = bottom = 0.0
        for e in range(used):
            top += signal[e] * row[e, place - 1 + c]
            bottom += row[e, place - 1 + c] * row[e, place - 1 + c]
        q[c] = top * top / bottom
    bend = q[0] - 2 * q[1] + q[2]
    shift = min(max(0.5 * (q[0] - q[2]) / bend, -1.0), 1.0) if bend < 0 else 0.0
    # Normal equations of S0, ln R2 and, where it is fitted in the voxel itself, the angle.
    top = bottom = 0.0
    n = np.zeros((3, 3))
    for e in range(used):
        m0, m1, m2 = row[e, place - 1], row[e, place], row[e, place + 1]
        model = m1 + 0.5 * shift * (m2 - m0) + 0.5 * shift * shift * (m0 - 2 * m1 + m2)
        slope = (0.5 * (m2 - m0) + shift * (m0 - 2 * m1 + m2)) / step
        top += signal[e] * model
        bottom += model * model
        n[0, 0] += model * model
        n[0, 1] += model * slope
        n[1, 1] += slope * slope
        n[0, 2] += model * other[e]
        n[1, 2] += slope * other[e]
        n[2, 2] += other[e] * other[e]
    s0 = top / bottom if bottom > 0 else 0.0
    power = 0.0
    for e in range(used):
        power += signal[e] * signal[e]
    left = max(power - s0 * top, 0.0)
    unknowns = 3 if free else 2
    information = n[1, 1] - n[0, 1] ** 2 / n[0, 0]
    if free:
        cross = n[1, 2] - n[0, 1] * n[0, 2] / n[0, 0]
        rest = n[2, 2] - n[0, 2] ** 2 / n[0, 0]
        information -= cross * cross / rest if rest > 0 else 0.0
    variance = left / (used - unknowns) if used > unknowns else 0.0
    sd = np.sqrt(variance / information) / s0 if information > 0 and s0 > 0 else 0.0
    return shift, s0, left, sd


@jit(parallel=True, fastmath={"reassoc", "contract"})
def _fit_rate(magnitude, mask, signals, log_r2, angle, free, limits, maps):  # type: ignore[no-untyped-def]
    """Write R2, its standard deviation, S0 and the residual's root mean square at the given angle of every voxel."""
    echoes, voxels = magnitude.shape
    nodes, steps = signals.shape[2], signals.shape[1]
    step = log_r2[1] - log_r2[0]
    blocks = (voxels + 1023) // 1024
    for b in prange(blocks):
        signal, score = np.empty(echoes, np.float32), np.empty(nodes, np.float32)
        row, inverse = np.empty((echoes, nodes), np.float32), np.empty((echoes, nodes), np.float32)
        norm = np.empty(nodes, np.float32)
        other = np.empty(echoes, np.float32)
        for v in range(b * 1024, min((b + 1) * 1024, voxels)):
            for m in range(4):
                maps[m, v] = 0
            if not mask[v]:
                continue
            used = unpack(magnitude, v, limits, signal)
            if used < 3:
                continue
            low = min(max(int(angle[v]), 0), steps - 2)
            t = min(max(np.float32(angle[v] - low), np.float32(0)), np.float32(1))
            for r in range(nodes):
                norm[r] = 0
            for e in range(used):
                for r in range(nodes):
                    value = signals[e, low, r] + t * (signals[e, low + 1, r] - signals[e, low, r])
                    row[e, r] = value
                    norm[r] += value * value
            for r in range(nodes):
                inverse[used - 1, r] = 1 / np.sqrt(norm[r])
            place = min(max(_best(signal, used, row, inverse, score), 1), nodes - 2)
            for e in range(used):
                other[e] = signals[e, low + 1, place] - signals[e, low, place]
            shift, s0, left, sd = _solve(signal, used, row, place, step, free, other)
            rate = np.exp(log_r2[place] + shift * step)
            maps[0, v], maps[1, v], maps[2, v] = rate, rate * sd, s0
            maps[3, v] = np.sqrt(left / used)


def r2_epg(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    grid: Grid,
    *,
    params: EpgParams = EpgParams(),
    noise: float = 0.0,
) -> SpinEchoFit:
    """Estimate R2 from multi-echo spin echoes with stimulated echoes (extended phase graphs, fitted refocusing angle).

    Minimises sum_n (S(n) - S0 EPG(n; R2, a))^2 over S0, R2 and the refocusing angle a by a dictionary and parabolic
    interpolation between its nodes. The transmit field is smooth: with ``params.smoothing`` the angle of a first fit
    is smoothed, weighted by the signal's power, and R2 and S0 are fitted again at that angle.

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude of the spin echoes.
    echo_times : sequence of float
        Echo times in s: the multiples 1, 2, 3 ... of the first.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere and where a value is not finite.
    grid : Grid
        Sampling of the volume.
    params : EpgParams
        Bounds of R2 and of the refocusing angle, and the smoothing of the angle.
    noise : float
        Standard deviation of the noise of the real and imaginary parts; its power is subtracted from the squared
        magnitude. 0: unknown.

    Returns
    -------
    SpinEchoFit
        R2 and its standard deviation (1/s), S0, refocusing angle (degrees) and the residual.

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than four echoes, or the echo times are not multiples of the first.

    References
    ----------
    Prasloski et al. 2012, 10.1002/mrm.23157; Hennig 1991, 10.1002/cmr.1820030302.
    """
    flat, inside = checked_echoes(magnitude, echo_times, mask, 4)
    spacing = float(echo_times[0])
    if not is_cpmg(echo_times):
        raise ValueError("echo times must be the multiples 1, 2, 3 ... of the first one for the stimulated-echo fit")
    book = epg_dictionary(spacing, len(echo_times), params)
    atoms = np.ascontiguousarray(book.signals.reshape(len(echo_times), -1))
    inverse = 1 / np.sqrt(np.cumsum(atoms**2, axis=0, dtype=np.float32))
    limits = (2 * noise**2, params.floor * noise, 3.0)
    place, maps = np.empty(inside.size, np.float32), np.empty((4, inside.size), np.float32)
    _fit_angle(flat, inside, atoms, inverse, limits, book.log_r2.size, place)
    free = params.smoothing == 0
    if not free:
        place = _smoothed(place.reshape(mask.shape), flat, mask, grid, params.smoothing).reshape(-1)
    _fit_rate(flat, inside, book.signals, book.log_r2, place, free, limits, maps)
    step = (book.angles[-1] - book.angles[0]) / (book.angles.size - 1)
    angle = np.where(maps[0] > 0, book.angles[0] + place * step, np.float32(0)).astype(np.float32)
    r2, sd, s0, residual = (m.reshape(mask.shape) for m in maps)
    return SpinEchoFit(r2, sd, s0, angle.reshape(mask.shape), residual)


def _smoothed(place: FloatArray, flat: FloatArray, mask: BoolArray, grid: Grid, width: float) -> FloatArray:
    """Return the angle's place, smoothed over ``width`` mm with the second echo's power as the weight."""
    weight = np.where(mask, flat[1].reshape(mask.shape) ** 2, np.float32(0))
    weight[~np.isfinite(weight)] = 0
    known = mask & (weight > 0)
    # Voxels at the dictionary's lower end (no signal, motion) say nothing of the transmit field.
    known &= place > 0
    sigma = [width / size for size in grid.voxel_size]
    scale = np.float32(weight[known].mean()) if known.any() else np.float32(1)
    weight = np.where(known, np.minimum(weight / scale, np.float32(4)), np.float32(0))
    top, bottom = mean_of_known(place * weight, known, sigma), mean_of_known(weight, known, sigma)
    last = np.float32(place.max(initial=0))
    return np.where(bottom > 1e-6, top / np.maximum(bottom, np.float32(1e-6)), last).astype(np.float32)


EPG: SpinEcho[EpgParams] = Method(
    name="epg",
    kind="spin_echo",
    label="Extended phase graph",
    function=r2_epg,
    params=EpgParams,
    sentence=(
        "R2 was estimated from multi-echo spin echoes by extended phase graphs with a fitted refocusing angle "
        "[hennig1991; prasloski2012]{parameters}."
    ),
    min_echoes=4,
)
