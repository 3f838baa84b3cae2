"""Every unit conversion of the project."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import FloatArray, NumericArray

#: Proton gyromagnetic ratio over 2 pi, MHz/T (CODATA 2018).
GAMMA_MHZ_PER_T = 42.577478518
#: An echo time (s) beyond this was given in ms: no signal lasts so long.
_LONGEST_ECHO = 1.0


def check_echo_times(echo_times: Sequence[float]) -> None:
    """Raise ValueError unless echo times are in s, positive and ascending.

    Parameters
    ----------
    echo_times : sequence of float
        Echo times in s.

    Raises
    ------
    ValueError
        If they are not, or none is given.

    Examples
    --------
    >>> check_echo_times((4, 8, 12))
    Traceback (most recent call last):
        ...
    ValueError: echo times must be in seconds, got [4, 8, 12]: divide by 1000
    """
    times = np.asarray(echo_times, np.float64)
    if times.ndim != 1 or not times.size or not (times[0] > 0 and np.all(np.diff(times) > 0)):
        raise ValueError(f"echo times must be positive and ascend, got {times.tolist()}")
    if times[-1] > _LONGEST_ECHO:
        raise ValueError(f"echo times must be in seconds, got {list(echo_times)}: divide by 1000")


def ppm_per_hz(field_strength: float) -> float:
    """Return the factor from a frequency offset in Hz to ppm of B0.

    1 / (gamma B0) with gamma the proton's gyromagnetic ratio over 2 pi in MHz/T.

    Parameters
    ----------
    field_strength : float
        B0 in tesla.

    Returns
    -------
    float
        Factor in ppm/Hz.

    Raises
    ------
    ValueError
        If the field strength is not a positive number.

    Examples
    --------
    >>> round(ppm_per_hz(3.0), 6)
    0.007829
    """
    if not np.isfinite(field_strength) or field_strength <= 0:
        raise ValueError(f"field strength must be a positive number of tesla, got {field_strength}")
    return 1.0 / (GAMMA_MHZ_PER_T * field_strength)


def hz_to_ppm(field_hz: NumericArray, field_strength: float) -> FloatArray:
    """Convert a field from Hz to ppm of B0.

    Parameters
    ----------
    field_hz : array of any shape
        Field in Hz.
    field_strength : float
        B0 in tesla.

    Returns
    -------
    float32, the same shape
        Field in ppm.

    Raises
    ------
    ValueError
        If the field strength is not a positive number.
    """
    return np.multiply(field_hz, np.float32(ppm_per_hz(field_strength)), dtype=np.float32)


def ppm_to_hz(field_ppm: NumericArray, field_strength: float) -> FloatArray:
    """Convert a field from ppm to Hz.

    Parameters
    ----------
    field_ppm : array of any shape
        Field in ppm.
    field_strength : float
        B0 in tesla.

    Returns
    -------
    float32, the same shape
        Field in Hz.

    Raises
    ------
    ValueError
        If the field strength is not a positive number.
    """
    return np.multiply(field_ppm, np.float32(1.0 / ppm_per_hz(field_strength)), dtype=np.float32)


#: Units of a field map, as BIDS spells them (``ppm``: parts per million of B0).
FIELD_UNITS = ("Hz", "rad/s", "T", "ppm")


def field_to_hz(field: FloatArray, units: str, field_strength: float) -> FloatArray:
    """Convert a field map from its own unit to Hz.

    Parameters
    ----------
    field : array of any shape
        Field.
    units : str
        One of :data:`FIELD_UNITS`.
    field_strength : float
        B0 in tesla; used for ``ppm`` alone.

    Returns
    -------
    float32, the same shape
        Field in Hz.

    Raises
    ------
    ValueError
        If the unit is none of these, or it is ppm and the field strength is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> field_to_hz(np.array([2 * np.pi]), "rad/s", 3.0).tolist()
    [1.0]
    """
    if units not in FIELD_UNITS:
        raise ValueError(f"the unit of a field must be one of {', '.join(FIELD_UNITS)}, got {units!r}")
    if units == "ppm":
        return ppm_to_hz(field, field_strength)
    factors = {"Hz": 1.0, "rad/s": 1 / (2 * np.pi), "T": 1e6 * GAMMA_MHZ_PER_T}
    return np.multiply(field, np.float32(factors[units]), dtype=np.float32)
