"""R2* without the decay that macroscopic field gradients add."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import GradientCorrection, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.relaxometry.echoes import checked_echoes, unpack
from bids_app.qsm.results import CorrectedDecay


@dataclass(frozen=True)
class GradientParams(Params):
    """Parameters of R2* corrected for field gradients."""

    profile: str = param("box", choices=("box", "gaussian", "none"), doc="Response of a voxel along each axis")
    attenuation: float = param(
        0.4, low=0.05, high=0.95, doc="Echoes that the gradient attenuates below this factor are left out"
    )
    r2star_max: float = param(1000.0, low=10.0, high=1e5, unit="1/s", doc="Upper bound of R2*")
    floor: float = param(
        3.0, low=0.0, high=20.0, doc="Echoes below this multiple of the noise, and those after them, are left out"
    )


@jit(inline="always")
def _slope(field, mask, at, axis):  # type: ignore[no-untyped-def]
    """Return the difference of the field per voxel along an axis: central inside the mask, one-sided at its edge."""
    i, j, k = at
    di, dj, dk = (1 if axis == 0 else 0), (1 if axis == 1 else 0), (1 if axis == 2 else 0)
    nx, ny, nz = field.shape
    total, count = 0.0, 0
    if i + di < nx and j + dj < ny and k + dk < nz and mask[i + di, j + dj, k + dk]:
        total += field[i + di, j + dj, k + dk] - field[i, j, k]
        count += 1
    if i >= di and j >= dj and k >= dk and mask[i - di, j - dj, k - dk]:
        total += field[i, j, k] - field[i - di, j - dj, k - dk]
        count += 1
    return total / count if count > 0 else 0.0


@jit(inline="always")
def _line(signal, factor, used, times):  # type: ignore[no-untyped-def]
    """Return rate, its variance factor and the residual's variance of a weighted line through ln(signal / factor)."""
    sw = swt = swl = swtt = swtl = 0.0
    for e in range(used):
        if signal[e] > 0:
            w, log = signal[e] * signal[e], np.log(signal[e] / factor[e])
            sw += w
            swt += w * times[e]
            swl += w * log
            swtt += w * times[e] * times[e]
            swtl += w * times[e] * log
    spread = sw * swtt - swt * swt
    if spread <= 0:
        return 0.0, 0.0
    rate = (swt * swl - sw * swtl) / spread
    start, left = (swl + rate * swt) / sw, 0.0
    for e in range(used):
        left += (signal[e] - factor[e] * np.exp(start - rate * times[e])) ** 2
    return rate, (np.sqrt(left / (used - 2) * sw / spread) if used > 2 else 0.0)


@jit(inline="always")
def _attenuations(slopes, times, gaussian, smallest, used, factor):  # type: ignore[no-untyped-def]
    """Write the echoes' attenuation by the field's slopes (Hz per voxel); return how many are not too small."""
    for e in range(used):
        f = 1.0
        for a in range(3):
            x = np.pi * slopes[a] * times[e]
            if gaussian > 0:
                f *= np.exp(-x * x / 6)
            elif abs(x) > 1e-6:
                f *= np.sin(x) / x if abs(x) < np.pi else 0.0
        if f < smallest:
            return e
        factor[e] = f
    return used


@jit(parallel=True)
def _fit(magnitude, field, mask, times, options, maps, valid):  # type: ignore[no-untyped-def]
    """``options``: axes (3 x 0 or 1), 0 box / 1 Gaussian, smallest factor, largest R2*, noise power, lowest signal."""
    axes, gaussian, smallest, largest, power, floor = options
    nx, ny, nz = mask.shape
    echoes = magnitude.shape[0]
    least = min(3, echoes)
    for i in prange(nx):
        signal, factor, ones = np.empty(echoes), np.empty(echoes), np.ones(echoes)
        slopes = np.zeros(3)
        for j in range(ny):
            for k in range(nz):
                v = (i * ny + j) * nz + k
                maps[0, v] = maps[1, v] = maps[2, v] = 0
                valid[v] = False
                if not mask[i, j, k]:
                    continue
                used = unpack(magnitude, v, (power, floor, float(least)), signal)
                if used < 2:
                    continue
                for a in range(3):
                    slopes[a] = _slope(field, mask, (i, j, k), a) * axes[a]
                kept = _attenuations(slopes, times, gaussian, smallest, used, factor)
                rate, _ = _line(signal, ones, used, times)
                if kept < least:
                    maps[0, v] = min(max(rate, 0.0), largest)
                    continue
                better, sd = _line(signal, factor, kept, times)
                maps[0, v] = min(max(better, 0.0), largest)
                maps[1, v] = sd
                maps[2, v] = max(rate - better, 0.0)
                valid[v] = True


def r2star_corrected(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    field_hz: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: GradientParams = GradientParams(),
    noise: float = 0.0,
    slice_axis: int | None = None,
) -> CorrectedDecay:
    """Estimate R2* corrected for the dephasing that the measured field's gradient causes inside a voxel.

    S(TE) = S0 exp(-R2* TE) prod_a F(g_a TE), where g_a is the difference of the total field across a voxel along axis
    a in Hz. F(x) = sin(pi x) / (pi x) for a voxel that integrates evenly over its edges (``box``), and
    exp(-(pi x)^2 / 6), its quadratic approximation, for ``gaussian``. A line is fitted to ln(S / F), weighted by S^2.

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude of the gradient echoes.
    echo_times : sequence of float
        Echo times in s.
    field_hz : float32, ``[x, y, z]``
        Total field in Hz, before background removal: background fields dephase too.
    mask : bool, ``[x, y, z]``
        Where to fit.
    grid : Grid
        Sampling of the volume.
    params : GradientParams
        Shape of the voxel and limits of the correction.
    noise : float
        Standard deviation of the noise of the real and imaginary parts, in units of the magnitude. 0: unknown.
    slice_axis : int, optional
        Axis of the slice selection of a 2D acquisition: only dephasing across the slice is corrected then. Frequency
        and phase encoding shift k-space under a gradient instead of averaging over the voxel. None (3D): all axes.

    Returns
    -------
    CorrectedDecay

    Raises
    ------
    ValueError
        If shapes differ or there is one echo.

    References
    ----------
    Hernando et al. 2012, 10.1002/mrm.23306; Yablonskiy et al. 2013, 10.1002/mrm.24585 (voxel spread function).
    """
    flat, _ = checked_echoes(magnitude, echo_times, mask, 2)
    if field_hz.shape != mask.shape or mask.shape != grid.shape:
        raise ValueError(f"field {field_hz.shape} and mask {mask.shape} do not have the grid's shape {grid.shape}")
    axes = np.ones(3) if slice_axis is None else np.eye(3)[slice_axis]
    if params.profile == "none":
        axes = np.zeros(3)
    known = np.ascontiguousarray(mask & np.isfinite(field_hz))
    field = np.where(known, field_hz, np.float32(0))
    maps, valid = np.empty((3, mask.size), np.float32), np.empty(mask.size, bool)
    options = (
        (float(axes[0]), float(axes[1]), float(axes[2])),
        float(params.profile == "gaussian"),
        params.attenuation,
        params.r2star_max,
        2 * noise**2,
        params.floor * noise,
    )
    _fit(flat, field, known, np.asarray(echo_times, np.float64), options, maps, valid)
    r2star, sd, added = (m.reshape(mask.shape) for m in maps)
    return CorrectedDecay(r2star, sd, added, valid.reshape(mask.shape))


FIELD_GRADIENT: GradientCorrection[GradientParams] = Method(
    name="field_gradient",
    kind="gradient_correction",
    label="R2* corrected for field gradients",
    function=r2star_corrected,
    params=GradientParams,
    sentence=(
        "For R2' = R2* - R2, R2* was corrected for the dephasing by the gradient of the measured total field inside "
        "each voxel [hernando2012; yablonskiy2013]{parameters}."
    ),
    min_echoes=2,
)
