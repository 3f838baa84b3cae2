"""R2 from multi-echo spin echoes by a line through their logarithm."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, SpinEcho
from bids_app.qsm.params import Params, param
from bids_app.qsm.relaxometry.echoes import checked_echoes, unpack
from bids_app.qsm.results import SpinEchoFit


@dataclass(frozen=True)
class SpinEchoParams(Params):
    """Parameters of the log-linear fit of R2."""

    r2_max: float = param(200.0, low=10.0, high=1e4, unit="1/s", doc="Upper bound of R2")
    skip: int = param(1, low=0, high=4, doc="First echoes that are left out: they lack the stimulated echoes")
    floor: float = param(
        3.0, low=0.0, high=20.0, doc="Echoes below this multiple of the noise, and those after them, are left out"
    )


@jit(parallel=True)
def _line(magnitude, mask, times, skip, largest, limits, maps):  # type: ignore[no-untyped-def]
    echoes, voxels = magnitude.shape
    for v in prange(voxels):
        for m in range(4):
            maps[m, v] = 0
        if not mask[v]:
            continue
        signal = np.empty(echoes)
        used = unpack(magnitude, v, limits, signal)
        if used < skip + 2:
            continue
        sw = swt = swl = swtt = swtl = 0.0
        for e in range(skip, used):
            if signal[e] > 0:
                w, log = signal[e] * signal[e], np.log(signal[e])
                sw += w
                swt += w * times[e]
                swl += w * log
                swtt += w * times[e] * times[e]
                swtl += w * times[e] * log
        spread = sw * swtt - swt * swt
        if spread <= 0:
            continue
        rate = min(max((swt * swl - sw * swtl) / spread, 0.0), largest)
        s0 = np.exp((swl + rate * swt) / sw)
        left = 0.0
        for e in range(skip, used):
            left += (signal[e] - s0 * np.exp(-rate * times[e])) ** 2
        count = used - skip
        # The weights are the inverse variances of the logarithms in units of the noise power.
        variance = left / (count - 2) * sw / spread if count > 2 else 0.0
        maps[0, v], maps[1, v], maps[2, v], maps[3, v] = rate, np.sqrt(variance), s0, np.sqrt(left / count)


def r2_loglinear(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    grid: Grid,
    *,
    params: SpinEchoParams = SpinEchoParams(),
    noise: float = 0.0,
) -> SpinEchoFit:
    """Estimate R2 by a line through the logarithm of the spin echoes, weighted by the squared magnitude.

    ln S(TE) = ln S0 - R2 TE. With imperfect refocusing, stimulated echoes make this R2 too small; see
    :func:`bids_app.qsm.relaxometry.epg_fit.r2_epg`. The echoes may have any spacing.

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude of the spin echoes.
    echo_times : sequence of float
        Echo times in s, ascending.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere.
    grid : Grid
        Sampling of the volume; not used, since every voxel is fitted alone.
    params : SpinEchoParams
        Echoes to skip and the upper bound of R2.
    noise : float
        Standard deviation of the noise of the real and imaginary parts. 0: unknown.

    Returns
    -------
    SpinEchoFit
        R2 and its standard deviation (1/s), S0, refocusing angle (180 degrees) and the residual.

    Raises
    ------
    ValueError
        If shapes differ or fewer than two echoes are left.

    References
    ----------
    McPhee and Wilman 2018, 10.1002/jmri.26052 (what stimulated echoes do to such fits).
    """
    flat, inside = checked_echoes(magnitude, echo_times, mask, 2)
    skip = min(params.skip, len(echo_times) - 2)
    maps = np.empty((4, inside.size), np.float32)
    limits = (2 * noise**2, params.floor * noise, float(skip + 2))
    _line(flat, inside, np.asarray(echo_times, np.float64), skip, params.r2_max, limits, maps)
    r2, sd, s0, residual = (m.reshape(mask.shape) for m in maps)
    angle = np.where(r2 > 0, np.float32(180), np.float32(0)).astype(np.float32)
    return SpinEchoFit(r2, sd, s0, angle, residual)


SPIN_ECHO_LINE: SpinEcho[SpinEchoParams] = Method(
    name="spin_echo_line",
    kind="spin_echo",
    label="Log-linear fit of spin echoes",
    function=r2_loglinear,
    params=SpinEchoParams,
    sentence=(
        "R2 was estimated from multi-echo spin echoes by a weighted linear fit to the logarithm of the magnitude "
        "[mcphee2018]{parameters}."
    ),
    min_echoes=2,
)
