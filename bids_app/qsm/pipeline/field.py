"""Phase of the echoes to the total field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.consistency import uniform_residual
from bids_app.qsm.grid import Grid
from bids_app.qsm.options import FieldChoices
from bids_app.qsm.params import Params
from bids_app.qsm.pipeline.acquisition import Acquisition
from bids_app.qsm.pipeline.arguments import Parameters, check_echoes, check_volume, parameters_of, registered
from bids_app.qsm.pipeline.phase import correct_phase
from bids_app.qsm.quality.echoes import field_drift, residual_wraps
from bids_app.qsm.registry import FIELD_FITS, UNWRAP
from bids_app.qsm.results import FieldFit
from bids_app.qsm.units import hz_to_ppm
from bids_app.qsm.unwrap.romeo import RomeoParams, romeo_and_quality, romeo_quality


@dataclass(frozen=True)
class Field:
    """The total field with what the later stages need to know of it.

    Attributes
    ----------
    total : float32, ``[x, y, z]``
        Total field in Hz; 0 where there is no signal.
    sd : float32, ``[x, y, z]``
        Its standard error in Hz, known up to a factor; 0 where there is no fit.
    residual : float32, ``[x, y, z]``
        Weighted root-mean-square residual of the fit over the echoes in rad.
    quality : float32, ``[x, y, z]``
        Quality of the phase, 0 to 1.
    magnitude : float32, ``[x, y, z]``
        Magnitude combined over the echoes (root of the sum of squares).
    support : bool, ``[x, y, z]``
        Voxels with signal.
    wraps : uint8, ``[x, y, z]``
        Neighbours (0 to 3) that pi or more separates in the unwrapped phase.
    drift : float or None
        Largest change of the mean field between two intervals of echoes in Hz; None for fewer than three echoes.
    iterations : int
        Most iterations of the fit in any voxel.
    methods : tuple of str
        Names of the methods that ran.
    warnings : tuple of str
        What the user should look at, in sentences.
    """

    total: FloatArray
    sd: FloatArray
    residual: FloatArray
    quality: FloatArray
    magnitude: FloatArray
    support: BoolArray
    wraps: npt.NDArray[np.uint8]
    drift: float | None = None
    iterations: int = 1
    methods: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def ppm(self, field_strength: float) -> FloatArray:
        """Return the total field in ppm of the main field (``field_strength`` in T)."""
        return hz_to_ppm(self.total, field_strength)


def total_field(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    grid: Grid,
    *,
    acquisition: Acquisition = Acquisition(),
    options: FieldChoices = FieldChoices(),
    parameters: Mapping[str, Params] = {},
) -> Field:
    r"""Estimate the total field from the wrapped phase of all echoes.

    The phase is corrected (:func:`correct_phase`), unwrapped, and a line :math:`\phi(t) = \phi_0 + 2 \pi f t` is fitted
    in every voxel (:func:`fit_total_field`).

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]`` (or ``[x, y, z]`` for one echo)
        Wrapped phase in rad, as the scanner stores it; :func:`bids_app.qsm.phase.scaling.to_radians` makes radians of
        other scales.
    magnitude : float32, like ``phase``, or None
        Magnitude; without it every voxel counts the same.
    echo_times : sequence of float
        Echo times in s, ascending.
    grid : Grid
        Sampling of the images.
    acquisition : Acquisition
        What is known of the scan: maker, readout, numbers of the echoes.
    options : FieldChoices
        Choices of offset removal, sign, unwrapping and fit.
    parameters : mapping of str to Params
        Parameters of the methods by their names, where they are not the defaults.

    Returns
    -------
    Field
        Field in Hz, its standard error, the phase's quality and the combined magnitude.

    Raises
    ------
    ValueError
        If shapes do not agree, or no voxel has signal.

    References
    ----------
    Unwrapping: Dymerska et al. 2021, 10.1002/mrm.28563. Fit: Robinson et al. 2017, 10.1002/nbm.3601.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> grid, times = qsm.Grid((24, 24, 24)), (0.004, 0.008, 0.012)
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24, dtype=np.float32)] * 3, indexing="ij")
    >>> magnitude = np.stack([(x**2 + y**2 + z**2 < 0.6).astype(np.float32)] * 3)
    >>> phase = np.stack([np.angle(np.exp(2j * np.pi * 100 * t * z)).astype(np.float32) for t in times])
    >>> field = qsm.total_field(phase, magnitude, times, grid)
    >>> inside = magnitude[0] > 0
    >>> bool(np.abs(field.total - 100 * z)[inside].max() < 1)
    True
    """
    corrected = correct_phase(
        phase, magnitude, echo_times, grid, acquisition=acquisition, options=options, parameters=parameters
    )
    field = fit_total_field(
        corrected.phase, magnitude, echo_times, grid, corrected.support, options=options, parameters=parameters
    )
    return replace(field, methods=corrected.methods + field.methods, warnings=corrected.warnings + field.warnings)


def fit_total_field(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    grid: Grid,
    support: BoolArray,
    *,
    options: FieldChoices = FieldChoices(),
    parameters: Mapping[str, Params] = {},
) -> Field:
    """Unwrap corrected phase and fit the field over the echoes.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad without offset, of :func:`correct_phase`.
    magnitude : float32, like ``phase``, or None
        Magnitude; without it every voxel counts the same.
    echo_times : sequence of float
        Echo times in s, ascending.
    grid : Grid
        Sampling of the images.
    support : bool, ``[x, y, z]``
        Voxels with signal.
    options : FieldChoices
        Choices of unwrapping and fit.
    parameters : mapping of str to Params
        Parameters of the methods by their names, where they are not the defaults.

    Returns
    -------
    Field
        Field in Hz, its standard error, the phase's quality and the combined magnitude.

    Raises
    ------
    ValueError
        If shapes do not agree.
    """
    echoes, strength = check_echoes(phase, magnitude, echo_times, grid)
    check_volume("support", support, grid)
    strength = np.ones_like(echoes) if strength is None else strength
    unwrapped, quality = _unwrap(echoes, strength, echo_times, support, grid, options.unwrap, parameters)
    del phase, echoes  # as large as the images of all echoes: where the caller keeps none, its memory is free
    fitter = registered("field fit", options.fit, FIELD_FITS)
    params = parameters_of(options.fit, fitter.params(), parameters)
    fit = fitter(unwrapped, strength, echo_times, support, grid=grid, params=params)
    assert isinstance(fit, FieldFit)
    drift = field_drift(unwrapped, strength, echo_times, fit.field_hz, support)
    wraps = residual_wraps(unwrapped, support)
    problem = uniform_residual(unwrapped, strength, echo_times, fit, support)
    del unwrapped
    return Field(
        fit.field_hz,
        fit.sd_hz,
        fit.residual_rad,
        quality,
        combine_magnitudes(strength),
        support,
        wraps,
        drift,
        fit.iterations,
        (options.unwrap, f"fit_{options.fit}"),
        (problem,) if problem else (),
    )


def combine_magnitudes(magnitude: FloatArray) -> FloatArray:
    """Return the root of the sum of squares of the echoes' magnitude ``[echo, x, y, z]``."""
    combined: FloatArray = np.square(magnitude[0])
    for echo in magnitude[1:]:
        combined += np.square(echo)
    return np.sqrt(combined, out=combined)


def _unwrap(
    phase: FloatArray,
    magnitude: FloatArray,
    times: Sequence[float],
    support: BoolArray,
    grid: Grid,
    method: str,
    parameters: Parameters,
) -> tuple[FloatArray, FloatArray]:
    """Return unwrapped phase and quality; ROMEO weights its edges once for both."""
    params = parameters_of("romeo", RomeoParams(), parameters)
    if method == "romeo":
        return romeo_and_quality(phase, lambda quality: support, magnitude=magnitude, echo_times=times, params=params)
    unwrap = registered("unwrapping method", method, UNWRAP)
    other = parameters_of(method, unwrap.params(), parameters)
    unwrapped = unwrap(phase, support, grid, magnitude=magnitude, echo_times=times, params=other)
    return unwrapped, romeo_quality(phase, None, magnitude=magnitude, echo_times=times, params=params)
