"""Separation by three pools in the complex multi-echo signal of each voxel (DECOMPOSE-QSM)."""

from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.inversion.problem import note
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, Separation
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.sources import SPHERES_PER_PPM_T, SeparationData
from bids_app.qsm.signatures import Info, Progress
from bids_app.qsm.units import GAMMA_MHZ_PER_T

#: Coarse-to-fine passes over the pools' susceptibilities, and trial values of each in one pass.
_PASSES, _TRIALS = 3, 7
#: Planes that one call fits, between reports of progress.
_PLANES = 8


@dataclass(frozen=True)
class DecomposeParams(Params):
    """Parameters of DECOMPOSE-QSM."""

    relaxivity: float = param(
        SPHERES_PER_PPM_T, low=1.0, high=1000.0, unit="Hz/ppm/T", doc="R2' per ppm and tesla of a pool of sources"
    )
    chi_max: float = param(0.5, low=0.02, high=5.0, unit="ppm", doc="Largest susceptibility of a pool")
    neutral_r2: float = param(
        0.7, low=0.0, high=1.0, doc="R2 of all pools as a share of the voxel's R2*, where no R2 map is given"
    )


@jit(inline="always")
def _pools(real, imag, weight, r2, wave, rate, trial):  # type: ignore[no-untyped-def]
    """Fit the three shares >= 0 at given pool susceptibilities; return (residual power, shares).

    ``real``, ``imag`` [echo]; columns of the model: exp(-(r2 + rate abs(chi)) t + i wave chi t), and exp(-r2 t).
    """
    positive, negative = trial
    gram, right, power = np.zeros((3, 3)), np.zeros(3), 0.0
    column_re, column_im = np.empty(3), np.empty(3)
    for e in range(real.size):
        t = weight[e]
        base = np.exp(-r2 * t)
        a, b = base * np.exp(-rate * positive * t), base * np.exp(-rate * negative * t)
        column_re[0], column_im[0] = a * np.cos(wave * positive * t), a * np.sin(wave * positive * t)
        column_re[1], column_im[1] = b * np.cos(wave * negative * t), -b * np.sin(wave * negative * t)
        column_re[2], column_im[2] = base, 0.0
        for c in range(3):
            right[c] += column_re[c] * real[e] + column_im[c] * imag[e]
            for d in range(3):
                gram[c, d] += column_re[c] * column_re[d] + column_im[c] * column_im[d]
        power += real[e] ** 2 + imag[e] ** 2
    shares = np.zeros(3)
    # Cyclic coordinate descent with a bound at zero: three unknowns converge in a few iterations.
    for _ in range(30):
        for c in range(3):
            value = right[c]
            for d in range(3):
                if d != c:
                    value -= gram[c, d] * shares[d]
            shares[c] = max(value / gram[c, c], 0.0) if gram[c, c] > 0 else 0.0
    left = power
    for c in range(3):
        left -= 2 * shares[c] * right[c]
        for d in range(3):
            left += shares[c] * gram[c, d] * shares[d]
    return left, shares


@jit(parallel=True)
def _fit(magnitude, chi, r2, mask, times, constants, maps):  # type: ignore[no-untyped-def]
    """Write share-weighted chi+ and abs(chi-) and the relative residual of flat voxels into ``maps`` [3, voxel]."""
    wave, rate, largest = constants
    echoes, voxels = magnitude.shape
    for v in prange(voxels):
        maps[0, v] = maps[1, v] = maps[2, v] = 0
        if not mask[v] or not magnitude[0, v] > 0:
            continue
        real, imag = np.empty(echoes), np.empty(echoes)
        for e in range(echoes):
            real[e] = magnitude[e, v] * np.cos(wave * chi[v] * times[e])
            imag[e] = magnitude[e, v] * np.sin(wave * chi[v] * times[e])
        low, high = np.full(2, 0.002), np.full(2, largest)
        best, fitted = np.inf, np.zeros(5)
        for _ in range(_PASSES):
            step0 = (high[0] / low[0]) ** (1.0 / (_TRIALS - 1))
            step1 = (high[1] / low[1]) ** (1.0 / (_TRIALS - 1))
            for a in range(_TRIALS):
                for b in range(_TRIALS):
                    trial = (low[0] * step0**a, low[1] * step1**b)
                    left, shares = _pools(real, imag, times, r2[v], wave, rate, trial)
                    if left < best:
                        best = left
                        fitted[0], fitted[1] = trial
                        fitted[2:] = shares
            low[0], high[0] = max(fitted[0] / step0, 0.002), min(fitted[0] * step0, largest)
            low[1], high[1] = max(fitted[1] / step1, 0.002), min(fitted[1] * step1, largest)
        total = fitted[2] + fitted[3] + fitted[4]
        if total > 0:
            maps[0, v], maps[1, v] = fitted[0] * fitted[2] / total, fitted[1] * fitted[3] / total
            power = 0.0
            for e in range(echoes):
                power += real[e] ** 2 + imag[e] ** 2
            maps[2, v] = np.sqrt(max(best, 0.0) / power)


def decompose(
    data: SeparationData,
    *,
    params: DecomposeParams = DecomposeParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate by fitting three pools to each voxel's complex signal: paramagnetic, diamagnetic and neutral.

    S(t) = C+ exp(-(a chi+ + R2) t + i w chi+ t) + C- exp(-(a abs(chi-) + R2) t - i w abs(chi-) t) + C0 exp(-R2 t),
    w = 2/3 2 pi gamma B0, a = ``relaxivity`` B0, all C >= 0. The signal is the measured magnitude with the phase
    w chi t of the susceptibility map, so that no neighbour's field enters. The paramagnetic map is C+ chi+ / sum C, the
    diamagnetic one -C- abs(chi-) / sum C. R2 comes from the map that is given, or is a share of the voxel's R2*,
    because the pools' decays are hard to distinguish from it. The shares follow linearly from the two susceptibilities,
    which are found by a search from coarse to fine. The magnitude must hold three or more echoes.

    Parameters
    ----------
    data : SeparationData
        Needs ``chi`` (ppm), ``magnitude`` with ``echo_times`` (s), and ``r2`` or ``r2star`` (1/s).
    params : DecomposeParams
    progress : callable, optional
        Called with planes done and planes in all.
    info : dict, optional
        Receives the median relative residual in the mask.

    Returns
    -------
    Sources

    Raises
    ------
    ParameterError
        If a map is missing.

    References
    ----------
    Chen et al. 2021, 10.1016/j.neuroimage.2021.118477.
    """
    data.require("chi", "echoes", *(() if data.r2 is not None else ("r2star",)))
    chi = data.clean("chi")
    r2 = data.clean("r2") if data.r2 is not None else np.float32(params.neutral_r2) * data.clean("r2star")
    times = np.asarray(data.echo_times, np.float64)
    wave = 2 / 3 * 2 * np.pi * GAMMA_MHZ_PER_T * data.field_strength
    constants = (wave, params.relaxivity * data.field_strength, params.chi_max)
    magnitude = data.magnitude
    if magnitude is None:
        raise ValueError("the magnitude is missing")
    maps = np.zeros((3, *data.grid.shape), np.float32)
    count = data.grid.shape[0]
    for first in range(0, count, _PLANES):
        rows = slice(first, min(first + _PLANES, count))
        part = np.ascontiguousarray(magnitude[:, rows], np.float32)
        out = np.zeros((3, part[0].size), np.float32)
        inside = data.mask[rows] & np.isfinite(part).all(axis=0)
        flat = part.reshape(len(times), -1)
        _fit(flat, chi[rows].reshape(-1), r2[rows].reshape(-1), inside.reshape(-1), times, constants, out)
        maps[:, rows] = out.reshape(3, *part.shape[1:])
        if progress is not None:
            progress(rows.stop, count)
    note(info, relative_residual=float(np.median(maps[2][data.mask])))
    return Sources(maps[0], -maps[1])


DECOMPOSE: Separation[DecomposeParams] = Method(
    name="decompose",
    kind="separation",
    label="DECOMPOSE-QSM",
    function=decompose,
    params=DecomposeParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were estimated by a fit of three pools to the complex signal of "
        "each voxel (DECOMPOSE-QSM) [chen2021]{parameters}."
    ),
    needs=("chi", "echoes", "r2star"),
)
