"""Stored phase values to radians."""

from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import FloatArray, NumericArray
from bids_app.qsm.kernels import jit

TWO_PI = 2 * np.pi
#: Adding and subtracting 1.5 * 2^52 rounds a double to the nearest integer; unlike rint it always vectorises.
_ROUND = 6755399441055744.0
#: Values that are looked at together: they stay in the cache.
_PART = 1 << 16
#: A range within this share of 2 pi counts as radians already.
_TOLERANCE = 0.02


@dataclass(frozen=True)
class _Code:
    """Integers by which scanners store phase: ``low`` to ``high``, of which ``circle`` make 2 pi."""

    low: int
    high: int
    circle: float
    zero: float  # the code of zero phase


#: Siemens after and before its rescaling, the signed twelve-bit form, GE's milliradians.
_CODES = (
    _Code(-4096, 4095, 8192, 0),
    _Code(0, 4095, 4096, 2048),
    _Code(-2048, 2047, 4096, 0),
    _Code(-3142, 3142, 2000 * np.pi, 0),
)
#: Wrapped phase fills at least this share of its codes, noise in air alone sees to it.
_FILLED = 0.9


@dataclass(frozen=True)
class ScaledPhase:
    """Phase in radians, and what was done to get there."""

    phase: FloatArray  # wrapped to (-pi, pi]
    note: str


@jit(parallel=True)
def _scale_and_wrap(values, zero, factor, out):  # type: ignore[no-untyped-def]
    for v in prange(values.size):
        phase = (values[v] - zero) * factor
        phase -= TWO_PI * ((phase / TWO_PI + _ROUND) - _ROUND)
        out[v] = phase if phase > -np.pi else phase + TWO_PI


def _wrapped(values: NumericArray, zero: float = 0.0, factor: float = 1.0, out: FloatArray | None = None) -> FloatArray:
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(flat.size, np.float32) if out is None else out.reshape(-1)
    _scale_and_wrap(flat, float(zero), float(factor), out)
    return out.reshape(np.shape(values))


def wrap(phase: NumericArray) -> FloatArray:
    """Wrap radians to (-pi, pi]."""
    return _wrapped(phase)


def _code_of(values: FloatArray, low: float, high: float, manufacturer: str) -> _Code | None:
    """Return the scanner's code that integer values follow; Siemens images need not fill it."""
    flat = values.reshape(-1)
    parts = (flat[start : start + _PART] for start in range(0, flat.size, _PART))
    if not all(np.array_equal(part, np.rint(part)) for part in parts):
        return None
    known = manufacturer.upper().startswith("SIEMENS")
    for code in _CODES[:2] if known else _CODES:
        filled = high - low >= _FILLED * (code.high - code.low)
        if code.low <= low and high <= code.high and (filled or (known and (low < 0) == (code.low < 0))):
            return code
    return None


@dataclass(frozen=True)
class PhaseScale:
    """How stored values become radians: ``(value - zero) * factor``, and the sentence about it for the user."""

    zero: float
    factor: float
    note: str

    def radians(self, values: NumericArray, out: FloatArray | None = None) -> FloatArray:
        """Return phase in radians (in ``out`` if it is given), wrapped to (-pi, pi]; what is not finite stays so."""
        return _wrapped(values, self.zero, self.factor, out)


def phase_scale(
    values: FloatArray, low: float, high: float, *, units: str | None = None, manufacturer: str = ""
) -> PhaseScale:
    """Return the scale of phase whose values, of which ``values`` are a part or all, go from ``low`` to ``high``.

    See :func:`to_radians`, which this is the first half of, for data that are not in memory as a whole.
    """
    if low == high:
        raise ValueError(f"the phase has one constant value ({low:g})")
    span = high - low
    if units == "rad" and span < 1.01 * TWO_PI:
        return PhaseScale(0.0, 1.0, "phase is declared in radians")
    if abs(span - TWO_PI) < _TOLERANCE * TWO_PI:
        return PhaseScale(0.0, 1.0, "phase is in radians by its range")
    if units == "rad":
        return PhaseScale(
            0.0, 1.0, f"phase is declared in radians and spans {span:.1f}: taken as unwrapped, wrapped again"
        )
    if (code := _code_of(values, low, high, manufacturer)) is not None:
        note = f"phase is scaled from the codes {code.low}..{code.high} to radians"
        return PhaseScale(code.zero, TWO_PI / code.circle, note)
    note = f"phase is scaled from the range {low:g}..{high:g} to radians"
    return PhaseScale((low + high) / 2, TWO_PI / span, note)


def to_radians(
    stored: NumericArray, *, units: str | None = None, manufacturer: str = "", overwrite: bool = False
) -> ScaledPhase:
    """Scale stored phase to radians by its range; all echoes of a run are given together and share one scale.

    Scanners store phase as integers (0..4095, -4096..4094, milliradians), which are recognised, or as floats of any
    range. Wrapped phase fills its whole range, so an unknown range maps to 2 pi, except where it is 2 pi wide already.

    Parameters
    ----------
    stored : array of any shape
        Values after the header's slope and intercept; values that are not finite become 0.
    units : str, optional
        ``Units`` of the sidecar; "rad" means that the values are radians, wrapped or not.
    manufacturer : str, optional
        ``Manufacturer`` of the sidecar: integers of a Siemens scanner need not fill their range.
    overwrite : bool
        Put the phase into the memory of ``stored`` where that is float32 and contiguous; its values are lost.

    Returns
    -------
    ScaledPhase
        Phase in rad, of the same shape, and a note on how it was scaled.

    Raises
    ------
    ValueError
        If the phase has one constant value.
    """
    values = np.ascontiguousarray(stored, dtype=np.float32)
    finite = np.isfinite(values)
    lost = int(values.size - np.count_nonzero(finite))
    if lost:
        values = np.where(finite, values, np.float32(0))
    low, high = float(values.min()), float(values.max())
    scale = phase_scale(values, low, high, units=units, manufacturer=manufacturer)
    note = scale.note
    if lost:
        note += f"; {lost} voxels that were not finite are set to 0"
    return ScaledPhase(scale.radians(values, values if overwrite else None), note)
