"""From phase and magnitude to a susceptibility map in one call."""

from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.combine import reference
from bids_app.qsm.pipeline.acquisition import Acquisition
from bids_app.qsm.pipeline.arguments import check_echoes
from bids_app.qsm.pipeline.background import LocalField, local_field
from bids_app.qsm.pipeline.echoes import EchoPhase
from bids_app.qsm.pipeline.field import Field, fit_total_field
from bids_app.qsm.pipeline.inversion import Susceptibility, susceptibility
from bids_app.qsm.pipeline.masks import Masks, make_masks
from bids_app.qsm.pipeline.null_space_trend import Detrended, remove_null_space_trend
from bids_app.qsm.pipeline.options import Options
from bids_app.qsm.pipeline.options import preset as preset_options
from bids_app.qsm.pipeline.phase import CorrectedPhase, correct_phase
from bids_app.qsm.signatures import Progress

#: Reference regions that need no segmentation.
_PLAIN = ("mask", "none")


@dataclass(frozen=True)
class Reconstruction:
    """A susceptibility map with what led to it.

    Attributes
    ----------
    chi : float32, ``[x, y, z]``
        Susceptibility in ppm relative to the reference; 0 outside the mask.
    mask : bool, ``[x, y, z]``
        Where it is valid.
    local_field : float32, ``[x, y, z]``, or None
        Local field in ppm; None where the inversion took the total field.
    reference : float
        Susceptibility in ppm that was subtracted.
    field : Field
        Total field and the phase's quality.
    masks : Masks
        Masks of the object.
    background : LocalField
        Local field of every pass as the inversion got it.
    inverted : Susceptibility
        The map before the reference was subtracted and before its null-space trend was removed.
    trend : float32, ``[x, y, z]``, or None
        The null-space trend in ppm that was removed from the map; None where it is kept.
    options : Options
        What was chosen.
    methods : tuple of str
        Names of the methods that ran.
    warnings : tuple of str
        What the user should look at, in sentences.
    """

    chi: FloatArray
    mask: BoolArray
    local_field: FloatArray | None
    reference: float
    field: Field
    masks: Masks
    background: LocalField
    inverted: Susceptibility
    trend: FloatArray | None
    options: Options
    methods: tuple[str, ...]
    warnings: tuple[str, ...]


def reconstruct(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    grid: Grid,
    field_strength: float,
    preset: str | Options = "default",
    *,
    mask: BoolArray | None = None,
    region: BoolArray | None = None,
    acquisition: Acquisition = Acquisition(),
    progress: Progress | None = None,
) -> Reconstruction:
    """Reconstruct a susceptibility map from the phase and magnitude of the echoes.

    Runs the stages of this package in order: :func:`total_field`, :func:`make_masks`, :func:`local_field`,
    :func:`susceptibility`, :func:`remove_null_space_trend` where it is chosen, and :func:`reference`.

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
        Sampling of the images; :meth:`Grid.from_affine` makes it from an image's affine.
    field_strength : float
        Main field in T.
    preset : str or Options
        Name of a preset (:func:`presets`), or options of your own.
    mask : bool, ``[x, y, z]``, optional
        Mask of the object; without it one is made from the data.
    region : bool, ``[x, y, z]``, optional
        Voxels of the reference region, where ``options.reference`` names one.
    acquisition : Acquisition
        What is known of the scan: maker (GE stores the phase with the opposite sign), readout, numbers of the echoes.
    progress : callable, optional
        Called as ``progress(done, total)`` by background removal and inversion.

    Returns
    -------
    Reconstruction
        Map in ppm and where it is valid, with the results of every stage.

    Raises
    ------
    ParameterError
        If there is no preset of this name.
    ValueError
        If shapes do not agree, methods do not go together, or no voxel has signal.

    References
    ----------
    Bilgic et al. 2024, 10.1002/mrm.30006.

    Examples
    --------
    See the example of :mod:`bids_app.qsm`.
    """
    options = preset_options(preset) if isinstance(preset, str) else preset
    parameters = options.parameters
    _check_reference(options, region)
    echoes, strength = check_echoes(phase, magnitude, echo_times, grid)
    corrected = correct_phase(
        echoes, strength, echo_times, grid, acquisition=acquisition, options=options.field, parameters=parameters
    )
    field = fit_total_field(
        corrected.phase, strength, echo_times, grid, corrected.support, options=options.field, parameters=parameters
    )
    masks = make_masks(
        field.sd,
        grid,
        quality=field.quality,
        magnitude=field.magnitude,
        residual=field.residual,
        given=mask,
        options=options.mask,
    )
    measured = field.ppm(field_strength)
    each = _each_echo(corrected, strength, echo_times, field_strength, measured, options)
    local = local_field(
        measured,
        masks.passes,
        grid,
        sd=field.sd,
        residual=field.residual,
        single_echo=len(echo_times) == 1,
        echoes=each if options.background.method != "none" else None,
        options=options.background,
        parameters=parameters,
        progress=progress,
    )
    inverted = susceptibility(
        local,
        grid,
        magnitude=field.magnitude,
        echoes=each,
        inside=masks.cut,
        options=options.inversion,
        parameters=parameters,
        progress=progress,
    )
    return _finished(corrected, field, masks, local, inverted, options, grid, region, magnitude is not None)


def _each_echo(
    corrected: CorrectedPhase,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    field_strength: float,
    total: FloatArray,
    options: Options,
) -> EchoPhase | None:
    """Return the phase of every echo where the options invert each by itself."""
    if not options.inversion.per_echo:
        return None
    counted = options.field.unwrap == "romeo"
    return EchoPhase(corrected.phase, tuple(echo_times), field_strength, total, magnitude, counted)


def _check_reference(options: Options, region: BoolArray | None) -> None:
    name = options.reference.region
    if name not in _PLAIN and region is None:
        raise ValueError(f"the reference region {name!r} must be given as a mask (region)")


def _finished(
    corrected: CorrectedPhase,
    field: Field,
    masks: Masks,
    local: LocalField,
    inverted: Susceptibility,
    options: Options,
    grid: Grid,
    region: BoolArray | None,
    has_magnitude: bool,
) -> Reconstruction:
    """Remove the null-space trend and subtract the reference, as the options say."""
    removes = options.background.null_space_trend != "keep" and has_magnitude  # tissue is recognised by its magnitude
    without: Detrended | None = remove_null_space_trend(inverted, field.magnitude, grid) if removes else None
    final = inverted if without is None else without.susceptibility
    chi, zero = final.chi, 0.0
    if options.reference.region != "none":
        chi, zero = reference(chi, final.mask, None if options.reference.region == "mask" else region)
    stages = (
        corrected.methods,
        field.methods,
        local.methods,
        inverted.methods,
        () if without is None else without.methods,
    )
    return Reconstruction(
        chi,
        final.mask,
        final.local_field,
        zero,
        field,
        masks,
        local,
        inverted,
        None if without is None else without.trend,
        options,
        tuple(name for stage in stages for name in stage),
        tuple(dict.fromkeys(corrected.warnings + field.warnings + local.warnings + inverted.warnings)),
    )
