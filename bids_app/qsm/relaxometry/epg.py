"""Multi-echo spin-echo signals by extended phase graphs, and a dictionary of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.params import Params, param

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


@jit
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


def is_cpmg(echo_times: Sequence[float]) -> bool:
    """Return whether the echo times are the multiples 1, 2, 3 ... of the first one (to 2 % of it)."""
    times = np.asarray(echo_times, np.float64)
    return bool(np.all(np.abs(times - times[0] * np.arange(1, times.size + 1)) <= 0.02 * times[0]))
