"""Stored phase values to radians."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_app.qsm.geometry import FloatArray

TWO_PI = 2 * np.pi
#: A range within this share of 2 pi counts as radians already.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class ScaledPhase:
    """Phase in radians, and what was done to get there."""

    phase: FloatArray  # wrapped to (-pi, pi]
    note: str


def wrap(phase: npt.NDArray[Any]) -> FloatArray:
    """Wrap radians to (-pi, pi]."""
    phase = np.asarray(phase, dtype=np.float64)
    wrapped = np.pi - np.mod(np.pi - phase, TWO_PI)
    return wrapped.astype(np.float32)


def to_radians(stored: npt.NDArray[Any], *, units: str | None = None) -> ScaledPhase:
    """Scale stored phase to radians by its range; all echoes of a run are given together and share one scale.

    Scanners store phase as integers (0..4095, -4096..4094) or as floats of any range. Wrapped phase fills its whole
    range, so the range maps to 2 pi, except where it is 2 pi wide already.

    Parameters
    ----------
    stored : array of any shape
        Values after the header's slope and intercept; values that are not finite become 0.
    units : str, optional
        ``Units`` of the sidecar; "rad" means that the values are radians, wrapped or not.

    Raises
    ------
    ValueError
        If the phase has one constant value.
    """
    values = np.array(stored, dtype=np.float32)
    finite = np.isfinite(values)
    lost = int(values.size - np.count_nonzero(finite))
    values[~finite] = 0
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ValueError(f"the phase has one constant value ({low:g})")
    span = high - low
    if units == "rad" and span < 1.01 * TWO_PI:
        phase, note = values, "phase is declared in radians"
    elif abs(span - TWO_PI) < _TOLERANCE * TWO_PI:
        phase, note = values, "phase is in radians by its range"
    elif units == "rad":
        phase, note = values, f"phase is declared in radians and spans {span:.1f}: taken as unwrapped, wrapped again"
    elif float(np.rint(low)) == low and float(np.rint(high)) == high and span in (4094.0, 4095.0, 8190.0):
        # Integer codes: one code more than the span makes the full circle.
        step = 2.0 if span == 8190.0 else 1.0
        phase = (values - np.float32(low)) * np.float32(TWO_PI / (span + step)) - np.float32(np.pi)
        note = f"phase is scaled from the codes {low:g}..{high:g} to radians"
    else:
        phase = (values - np.float32(low)) * np.float32(TWO_PI / span) - np.float32(np.pi)
        note = f"phase is scaled from the range {low:g}..{high:g} to radians"
    if lost:
        note += f"; {lost} voxels that were not finite are set to 0"
    return ScaledPhase(wrap(phase), note)
