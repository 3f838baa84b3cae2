"""Phase that was filtered for SWI, recognised by what it holds.

The filter divides the image by its own low spatial frequencies (homodyne filter; Haacke et al. 2004,
10.1002/mrm.20198). What is left has no phase at these frequencies, fine structure inside the object, and noise in the
air. Measured on three slices of raw phase (simulated heads, heads and abdomens of three vendors): the variance of the
low frequencies is at least 0.7 of that of the rest. After filters that reach a quarter of k-space or more it is at most
0.26, and mostly below 0.1.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bids_app.dataset.image_checks import files_of
from bids_app.dataset.images import look_at, middle_slices
from bids_app.model.records import Echo, GreRun

_Complex = npt.NDArray[np.complex64]
#: Slices that are looked at, and pixels along an axis from which on low frequencies mean something.
_SLICES, _MIN_PIXELS = 3, 24
#: Width of the low frequencies, in periods per field of view.
_PERIODS = 2.0
#: Largest circular variance of the low frequencies, and its largest ratio to that of the rest.
_MAX_VARIANCE, _MAX_RATIO = 0.02, 0.2
#: The object is brighter than this share of the brightest voxels; air is darker than that one.
_OBJECT, _AIR = 0.3, 0.1
#: Least share of the slice that is object, and that is air.
_MIN_SHARE = 0.05
#: Least share of neighbours in air that differ by more than pi: noise has a quarter, a phase that was masked none.
_NOISE = 0.1
#: Ranges that wrapped phase fills (rad, mrad, 12 and 13 bits), and the relative deviation from them.
_RANGES, _FILLED = (2 * np.pi, 2000 * np.pi, 4096.0, 8192.0), 0.03
#: In the sidecar of a phase: false says that no filter was applied.
KEY = "PhaseFiltered"


def filtered_content(run: GreRun) -> Iterator[str]:
    """A phase without low spatial frequencies has lost the field; the echo with the longest time shows it best."""
    echoes = [echo for echo in run.echoes if echo.phase is not None and echo.magnitude is not None]
    if not echoes or run.coils > 1 or not run.starts_from_phase:
        return
    last = echoes[-1]
    if last.metadata.get(KEY) is False:
        return
    if any(look_at(path, is_phase=False, coils=run.coils).problem for path in files_of(last)):
        return  # reported already
    if _is_filtered(last):
        assert last.phase is not None  # of the echoes above
        yield (
            f"{last.phase.name}: its phase has no low spatial frequencies: it was high-pass filtered, as for SWI, and "
            "the filter removed the field that QSM needs. Take the unfiltered phase, or leave this run out with "
            f'--bids-filter-file. If no filter was applied, set "{KEY}": false in its JSON sidecar'
        )


def _is_filtered(echo: Echo) -> bool:
    assert echo.phase is not None and echo.magnitude is not None  # the caller has asked for them
    magnitude, stored = (middle_slices(path, _SLICES) for path in (echo.magnitude, echo.phase))
    if magnitude.shape != stored.shape or min(stored.shape[:2]) < _MIN_PIXELS:
        return False
    magnitude, stored = np.nan_to_num(magnitude), np.nan_to_num(stored)
    low, span = float(stored.min()), float(np.ptp(stored))
    if not any(abs(span / wrapped - 1) < _FILLED for wrapped in _RANGES):
        return False
    phase = (stored - np.float32(low)) * np.float32(2 * np.pi / span) - np.float32(np.pi)
    bright = np.float32(np.percentile(magnitude, 99))
    weight, air = magnitude * (magnitude > _OBJECT * bright), magnitude < _AIR * bright
    if min(np.mean(weight > 0), np.mean(air)) < _MIN_SHARE or _noise(phase, air) < _NOISE:
        return False
    return lacks_low_frequencies((magnitude * np.exp(1j * phase)).astype(np.complex64), weight)


def _noise(phase: npt.NDArray[np.float32], air: npt.NDArray[np.bool_]) -> float:
    """Return the share of neighbours in air whose phase differs by more than pi."""
    pairs = air[1:] & air[:-1]
    return float(np.mean((np.abs(np.diff(phase, axis=0)) > np.pi)[pairs])) if pairs.any() else 0.0


def lacks_low_frequencies(signal: _Complex, weight: npt.NDArray[np.float32]) -> bool:
    """Return whether the phase of slices has fine structure alone.

    Parameters
    ----------
    signal : complex64, ``[x, y, slice]``
    weight : float32, ``[x, y, slice]``
        0 outside the object.

    Returns
    -------
    bool
        Whether, in the median slice, the circular variance of the phase at low frequencies is small, both as such and
        relative to that of the rest.
    """
    periods = [np.fft.fftfreq(n) * n / _PERIODS for n in signal.shape[:2]]
    window = np.exp(-0.5 * (periods[0][:, None] ** 2 + periods[1][None] ** 2))[:, :, None]
    smooth = np.fft.ifft2(np.fft.fft2(signal, axes=(0, 1)) * window, axes=(0, 1))
    variances = [_circular_variance(part, weight) for part in (smooth, signal * smooth.conj())]
    low, rest = (float(np.median(variance)) for variance in variances)
    return low < _MAX_VARIANCE and low < _MAX_RATIO * rest


def _circular_variance(
    signal: npt.NDArray[np.complexfloating], weight: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return 1 minus the length of the mean direction, slice by slice."""
    unit = np.exp(1j * np.angle(signal))
    total = np.maximum(weight.sum(axis=(0, 1)), 1e-12)
    length = np.abs((weight * unit).sum(axis=(0, 1))) / total
    return np.asarray(1.0 - length, np.float64)
