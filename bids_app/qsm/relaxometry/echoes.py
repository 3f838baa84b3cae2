"""Echoes of a decay for the fits voxel by voxel: shape, noise power, and how many of them count."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit


@jit(inline="always")
def unpack(magnitude, v, limits, signal):  # type: ignore[no-untyped-def]
    """Write a voxel's echoes without their noise power into ``signal``; return how many count, 0 if one is not finite.

    ``limits``: noise power (2 sigma^2), lowest usable signal, echoes that always count.
    """
    power, floor, least = limits
    used = 0
    for e in range(signal.size):
        m = np.float64(magnitude[e, v])
        if not np.isfinite(m):
            return 0
        if used == e and (m >= floor or e < least):
            used = e + 1
        signal[e] = np.sqrt(max(m * m - power, 0.0)) if m > 0 else 0.0
    return used if signal[0] > 0 else 0


def checked_echoes(
    magnitude: FloatArray, echo_times: Sequence[float], mask: BoolArray, least: int
) -> tuple[FloatArray, BoolArray]:
    """Return the echoes as ``[echo, voxel]`` and the mask flat.

    Raises
    ------
    ValueError
        If shapes differ or there are fewer than ``least`` echoes.
    """
    if magnitude.ndim != 4 or magnitude.shape[0] != len(echo_times) or magnitude.shape[1:] != mask.shape:
        raise ValueError(f"magnitude {magnitude.shape}, {len(echo_times)} echo times, mask {mask.shape} do not match")
    if len(echo_times) < least:
        raise ValueError(f"R2 needs at least {least} spin echoes, there are {len(echo_times)}")
    flat = np.ascontiguousarray(magnitude, np.float32).reshape(len(echo_times), -1)
    return flat, np.ascontiguousarray(mask).reshape(-1)
