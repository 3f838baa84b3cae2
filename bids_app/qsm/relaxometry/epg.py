"""Multi-echo spin-echo signals by extended phase graphs, and R2 from a dictionary of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Method, SpinEcho
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.relaxometry.spin_echo import SpinEchoFit, checked_echoes, unpack

#: Nodes of the dictionary per factor e in R2, and degrees between its refocusing angles.
_NODES_PER_E, _ANGLE_STEP = 20, 4.0


@dataclass(frozen=True)
class EpgParams(Params):
    """Parameters of the stimulated-echo fit of R2."""

    r2_min: float = param(0.5, low=0.05, high=10.0, unit="1/s", doc="Smallest R2 of the dictionary")
    r2_max: float = param(200.0, low=20.0, high=2000.0, unit="1/s", doc="Largest R2 of the dictionary")
    angle_min: float = param(60.0, low=20.0, high=170.0, unit="deg", doc="Smallest refocusing angle")
    t1: float = param(1.2, low=0.05, high=10.0, unit="s", doc="T1 of the stimulated echoes' storage time")
    smoothing: float = param(
        6.0,
        low=0.0,
        high=40.0,
        unit="mm",
        doc="Gaussian that smooths the angle before the last fit; 0: each voxel alone",
    )
    floor: float = param(
        3.0, low=0.0, high=20.0, doc="Echoes below this multiple of the noise, and those after them, are left out"
    )


@njit(cache=True, nogil=True)
def _train(r2, r1, spacing, angle, out):  # type: ignore[no-untyped-def]
    """Write the echoes of a CPMG train into ``out``; transverse states are real, longitudinal ones imaginary."""
    echoes = out.size
    size = 2 * echoes + 2
    up, down, store = np.zeros(size), np.zeros(size), np.zeros(size)
    e2, e1 = np.exp(-0.5 * spacing * r2), np.exp(-0.5 * spacing * r1)
    c2, s2 = np.cos(0.5 * angle) ** 2, np.sin(0.5 * angle) ** 2
    sine, cosine = np.sin(angle), np.cos(angle)
    up[0] = down[0] = 1.0
    for n in range(echoes):
        for half in range(2):
            # Relaxation over half a spacing, then every state moves on by one order of dephasing.
            for k in range(size - 1, 0, -1):
                up[k] = up[k - 1] * e2
                store[k] *= e1
            for k in range(size - 1):
                down[k] = down[k + 1] * e2
            store[0] *= e1
            down[size - 1] = 0.0
            up[0] = down[0]
            if half == 0:
                for k in range(size):
                    f, g, z = up[k], down[k], store[k]
                    up[k] = c2 * f + s2 * g + sine * z
                    down[k] = s2 * f + c2 * g - sine * z
                    store[k] = 0.5 * sine * (g - f) + cosine * z
        out[n] = up[0]


def epg_signal(r2: float, refocusing_angle: float, echo_spacing: float, echoes: int, *, t1: float = 1.2) -> FloatArray:
    """Compute the echo amplitudes of a Carr-Purcell-Meiboom-Gill train with imperfect refocusing.

    The extended phase graph keeps the transverse states F+(k), F-(k) and the longitudinal states Z(k) of dephasing
    order k. Between pulses all states relax and F+ moves from k to k + 1, F- from k to k - 1; each refocusing pulse of
    angle a mixes F+, F- and Z of the same order. The echo is F+(0). For a = 180 degrees it is exp(-R2 TE).

    Parameters
    ----------
    r2 : float
        Transverse relaxation rate in 1/s.
    refocusing_angle : float
        Flip angle of every refocusing pulse in degrees.
    echo_spacing : float
        Time between echoes in s, also the first echo time.
    echoes : int
        Number of echoes.
    t1 : float, optional
        Longitudinal relaxation time in s.

    Returns
    -------
    float32 array, (echoes,)
        Amplitudes relative to the magnetization after the excitation.

    Raises
    ------
    ValueError
        If a time or the number of echoes is not positive.

    References
    ----------
    Hennig 1991, 10.1002/cmr.1820030302; Prasloski et al. 2012, 10.1002/mrm.23157.

    Examples
    --------
    >>> [round(float(s), 3) for s in epg_signal(10.0, 180.0, 0.01, 3)]
    [0.905, 0.819, 0.741]
    """
    if echo_spacing <= 0 or t1 <= 0 or echoes < 1:
        raise ValueError("echo spacing, T1 and the number of echoes must be positive")
    out = np.empty(int(echoes))
    _train(float(r2), 1.0 / t1, float(echo_spacing), np.deg2rad(refocusing_angle), out)
    return out.astype(np.float32)


@dataclass(frozen=True)
class Dictionary:
    """Signals ``[echo, angle, r2]`` over refocusing angles (degrees) and ln R2 (R2 in 1/s), both equally spaced."""

    signals: FloatArray
    angles: FloatArray
    log_r2: FloatArray


def epg_dictionary(echo_spacing: float, echoes: int, params: EpgParams = EpgParams()) -> Dictionary:
    """Compute the signals of all refocusing angles and R2 that the fit tries."""
    count = 1 + int(np.ceil((180.0 - params.angle_min) / _ANGLE_STEP))
    angles = np.linspace(params.angle_min, 180.0, count)
    span = np.log(params.r2_max / params.r2_min)
    rates = params.r2_min * np.exp(np.linspace(0, span, 2 + int(np.ceil(span * _NODES_PER_E))))
    signals, train = np.empty((echoes, count, rates.size), np.float32), np.empty(echoes)
    for a, angle in enumerate(np.deg2rad(angles)):
        for r, rate in enumerate(rates):
            _train(rate, 1.0 / params.t1, echo_spacing, angle, train)
            signals[:, a, r] = train
    return Dictionary(signals, angles.astype(np.float32), np.log(rates).astype(np.float32))


@njit(cache=True, nogil=True, inline="always")
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


@njit(cache=True, nogil=True, inline="always")
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


@njit(cache=True, nogil=True, inline="always")
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


@njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc", "contract"})
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


@njit(cache=True, nogil=True, inline="always")
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


@njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc", "contract"})
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


def is_cpmg(echo_times: Sequence[float]) -> bool:
    """Return whether the echo times are the multiples 1, 2, 3 ... of the first one (to 2 % of it)."""
    times = np.asarray(echo_times, np.float64)
    return bool(np.all(np.abs(times - times[0] * np.arange(1, times.size + 1)) <= 0.02 * times[0]))


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
