"""Every unit conversion of the project."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray

#: Proton gyromagnetic ratio over 2 pi, MHz/T (CODATA 2018).
GAMMA_MHZ_PER_T = 42.577478518


def ppm_per_hz(field_strength: float) -> float:
    """Factor from a frequency offset in Hz to ppm of B0 (``field_strength`` in tesla)."""
    if not np.isfinite(field_strength) or field_strength <= 0:
        raise ValueError(f"field strength must be a positive number of tesla, got {field_strength}")
    return 1.0 / (GAMMA_MHZ_PER_T * field_strength)


def hz_to_ppm(field_hz: npt.NDArray[Any], field_strength: float) -> FloatArray:
    """Field in ppm of B0 from a field in Hz."""
    return np.multiply(field_hz, np.float32(ppm_per_hz(field_strength)), dtype=np.float32)


def ppm_to_hz(field_ppm: npt.NDArray[Any], field_strength: float) -> FloatArray:
    """Field in Hz from a field in ppm of B0."""
    return np.multiply(field_ppm, np.float32(1.0 / ppm_per_hz(field_strength)), dtype=np.float32)
