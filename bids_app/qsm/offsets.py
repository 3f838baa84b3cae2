"""MCPC-3D-S: the phase at echo time zero, estimated from the first two echoes and removed from all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param
from bids_app.qsm.phase import wrap
from bids_app.qsm.unwrap_romeo import romeo


@dataclass(frozen=True)
class OffsetParams(Params):
    """Parameters of MCPC-3D-S."""

    sigma: float = param(7.0, low=0.0, high=50.0, unit="mm", doc="Gaussian smoothing of the complex offset")


@dataclass(frozen=True)
class OffsetResult:
    """Corrected phase of every echo (rad, wrapped, echoes first) and the offset (rad, wrapped)."""

    phase: FloatArray
    offset: FloatArray


def mcpc3ds(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray | None,
    grid: Grid,
    *,
    params: OffsetParams = OffsetParams(),
) -> OffsetResult:
    """Remove the phase offset that does not grow with echo time (receive coils, transmit field).

    The Hermitian inner product of the first two echoes is unwrapped and extrapolated to the first echo; what
    remains of the first echo's phase is the offset, smoothed as a complex image.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad, at least two echoes of one readout polarity.
    magnitude : float32, like ``phase``, optional
        Weights of the smoothing and of the unwrapping.
    echo_times : sequence of float
        Echo times in s, ascending.
    mask : bool, ``[x, y, z]``, optional
        Where the offset is estimated; it is smoothly continued elsewhere.
    grid : Grid
        Voxel size for the smoothing.

    Raises
    ------
    ValueError
        For fewer than two echoes, or echo times that do not ascend.

    References
    ----------
    Eckstein et al. 2018, 10.1002/mrm.26963.
    """
    if phase.ndim != 4 or phase.shape[0] < 2 or len(echo_times) != phase.shape[0]:
        raise ValueError("the phase offset needs at least two echoes, echoes first, and an echo time for each")
    first, second = float(echo_times[0]), float(echo_times[1])
    if not 0 < first < second:
        raise ValueError(f"echo times must be positive and ascend, got {list(echo_times)}")
    finite: BoolArray = np.isfinite(phase[0]) & np.isfinite(phase[1])
    inside = finite if mask is None else finite & mask
    safe = np.where(inside, phase[:2], 0).astype(np.float32)
    weight = np.ones(inside.shape, np.float32) if magnitude is None else np.nan_to_num(magnitude[0] * magnitude[1])
    difference = romeo(wrap(safe[1] - safe[0]), inside, grid, magnitude=None if magnitude is None else np.sqrt(weight))
    offset = safe[0] - difference * np.float32(first / (second - first))
    image = (weight * inside) * np.exp(1j * offset).astype(np.complex64)
    sigma = [params.sigma / size for size in grid.voxel_size]
    real = ndimage.gaussian_filter(np.ascontiguousarray(image.real), sigma)
    imag = ndimage.gaussian_filter(np.ascontiguousarray(image.imag), sigma)
    smooth = np.arctan2(imag, real).astype(np.float32)
    corrected = np.stack([wrap(np.nan_to_num(echo) - smooth) for echo in phase])
    return OffsetResult(corrected, smooth)
