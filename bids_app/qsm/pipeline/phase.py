"""Phase of the echoes as the scanner stores it to phase that the field can be fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.morphology import opened
from bids_app.qsm.mask.support import signal_support
from bids_app.qsm.options import FieldChoices
from bids_app.qsm.params import Params
from bids_app.qsm.phase.bipolar import BipolarParams, bipolar, even_echo_phase, is_bipolar, polarity_of
from bids_app.qsm.phase.checks import residue_share, slices_alternate, undo_alternation
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.phase.offsets import OffsetParams
from bids_app.qsm.pipeline.acquisition import Acquisition
from bids_app.qsm.pipeline.arguments import Parameters, check_echoes, parameters_of
from bids_app.qsm.unwrap.romeo import RomeoParams, romeo_quality

#: Share of loops with a wrap in the bright part of the object from which the phase looks like noise.
_NOISE = 0.2
_LIKE_NOISE = (
    "the phase looks like noise ({:.0%} of small loops are residues, noise has 33 %): check that it is phase, that it "
    "belongs to the magnitude and is not filtered or interpolated"
)
#: Phase in rad is within one turn of 0, wherever it is wrapped; a little for rounding.
_LARGEST_PHASE = 2.2 * np.pi
#: Phase that covers less of the circle was probably scaled by a wrong factor.
_FULL_CIRCLE = 0.8
#: The warning where slices were corrected.
ALTERNATED = "the sign of the signal alternated from slice to slice; pi was added to every second"


class NoSignalError(ValueError):
    """No voxel of the images has signal."""


@dataclass(frozen=True)
class CorrectedPhase:
    """Phase that is ready to be unwrapped.

    Attributes
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad; it rises where the field is higher, and its offset at echo time zero is removed.
    support : bool, ``[x, y, z]``
        Voxels with any signal, generously; elsewhere phase is noise.
    residues : float
        Share of small loops in the bright part of the first echo around which the phase wraps (noise: 1/3).
    methods : tuple of str
        Names of the methods that ran.
    notes : tuple of str
        What was done to the phase, in sentences for the record.
    warnings : tuple of str
        What the user should look at, in sentences.
    """

    phase: FloatArray
    support: BoolArray
    residues: float = 0.0
    methods: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def correct_phase(
    phase: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    grid: Grid,
    *,
    acquisition: Acquisition = Acquisition(),
    options: FieldChoices = FieldChoices(),
    parameters: Mapping[str, Params] = {},
    overwrite: bool = False,
) -> CorrectedPhase:
    r"""Correct what scanners do to the phase, and remove its offset at echo time zero.

    The measured phase of an echo is :math:`\phi(t) = \phi_0 + 2 \pi f t` up to its sign and multiples of 2 pi.
    Slices whose sign alternates are corrected first, then the sign, and :math:`\phi_0` is removed where there are
    several echoes.

    Parameters
    ----------
    phase : float32, ``[echo, x, y, z]`` (or ``[x, y, z]`` for one echo)
        Wrapped phase in rad.
    magnitude : float32, like ``phase``, or None
        Magnitude; without it every voxel counts the same.
    echo_times : sequence of float
        Echo times in s, ascending.
    grid : Grid
        Sampling of the images.
    acquisition : Acquisition
        What is known of the scan: maker, readout, numbers of the echoes.
    options : FieldChoices
        Choices of offset removal and sign.
    parameters : mapping of str to Params
        Parameters of ``romeo``, ``mcpc3ds`` and ``bipolar``, where they are not the defaults.
    overwrite : bool
        Work in the memory of ``phase``, whose values are lost.

    Returns
    -------
    CorrectedPhase
        Phase, support and what was done.

    Raises
    ------
    ValueError
        If shapes or numbers of echoes do not agree, or phase or echo times have another unit.
    NoSignalError
        If no voxel has signal.

    References
    ----------
    Offset removal: Eckstein et al. 2018, 10.1002/mrm.26963.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> grid = qsm.Grid((24, 24, 24))
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 24, dtype=np.float32)] * 3, indexing="ij")
    >>> magnitude = np.stack([(x**2 + y**2 + z**2 < 0.6).astype(np.float32)] * 3)
    >>> phase = np.stack([np.float32(2 * np.pi * 10 * t) * z for t in (0.004, 0.008, 0.012)])
    >>> corrected = qsm.correct_phase(phase, magnitude, (0.004, 0.008, 0.012), grid)
    >>> corrected.phase.shape, corrected.methods
    ((3, 24, 24, 24), ('mcpc3ds',))
    """
    echoes, strength = check_echoes(phase, magnitude, echo_times, grid)
    polarity = polarity_of(acquisition.numbers_of(len(echoes)))
    echoes = echoes if overwrite else echoes.copy()
    weighted = strength is not None
    strength = _made_up_magnitude(echoes) if strength is None else strength
    scaling = acquisition.phase_scaling
    notes, warnings = [scaling], _undo_alternation(echoes, strength, scaling)
    notes += _correct_sign(echoes, options.sign, acquisition)
    romeo = parameters_of("romeo", RomeoParams(), parameters)
    quality = romeo_quality(echoes, None, magnitude=strength, echo_times=echo_times, params=romeo)
    support = signal_support(quality, len(echo_times) > 1, weighted and romeo.magnitude_weight)
    del quality
    if not weighted:
        support &= strength[0] > 0
    if not support.any():
        raise NoSignalError("no voxel has signal: the magnitude is 0 or the phase is noise everywhere")
    residues = residue_share(echoes[0], support & (strength[0] >= np.median(strength[0][support])))
    warnings += [_LIKE_NOISE.format(residues)] if residues > _NOISE else []
    if options.offsets == "bipolar" and len(set(polarity)) == 1 < len(polarity):
        warnings.append("no correction of a bipolar readout: by their numbers, all echoes were read in one direction")
    readout = _Readout(acquisition.readout, polarity)
    echoes, methods = _remove_offset(echoes, strength, echo_times, support, grid, readout, options, parameters)
    return CorrectedPhase(echoes, support, residues, methods, tuple(notes), tuple(warnings))


@dataclass(frozen=True)
class _Readout:
    """What is known of the readout: ``monopolar``, ``bipolar`` or empty, and each echo's direction if it is bipolar."""

    stated: str
    polarity: tuple[bool, ...]


def _made_up_magnitude(phase: FloatArray) -> FloatArray:
    """Return ones, and 0 where all echoes have one and the same phase: air that was set to a constant."""
    strength = np.ones_like(phase)
    if len(phase) > 1:
        strength[:, opened((phase == phase[0]).all(axis=0), 1)] = 0  # a voxel alone has it by chance
    return strength


def _correct_sign(phase: FloatArray, choice: str, acquisition: Acquisition) -> list[str]:
    """Invert the sign in place where it is asked for or known of the scanner; return notes.

    GE's phase falls where the field is higher, that of Siemens and Philips rises.
    """
    if choice != "invert" and not (choice == "auto" and acquisition.is_ge):
        return []
    np.negative(phase, out=phase)
    return ["the sign of the phase is inverted" + (", as GE scanners store it" if choice == "auto" else "")]


def _undo_alternation(phase: FloatArray, magnitude: FloatArray, scaling: str) -> list[str]:
    """Correct slices of alternating sign in place; return warnings."""
    warnings = []
    low, high = float(phase.min()), float(phase.max())
    if max(-low, high) > _LARGEST_PHASE:
        raise ValueError(f"the phase reaches {max(-low, high):.1f}: make it rad, as by qsm.to_radians(stored).phase")
    span = high - low
    if span < _FULL_CIRCLE * 2 * np.pi:
        warnings.append(f"the phase covers {span / (2 * np.pi):.0%} of the circle only ({scaling}): check its scale")
    if slices_alternate(phase[0], magnitude[0]):
        for echo in phase:
            echo[...] = undo_alternation(echo)
        warnings.append(ALTERNATED)
    return warnings


def _remove_offset(
    phase: FloatArray,
    magnitude: FloatArray,
    times: Sequence[float],
    mask: BoolArray,
    grid: Grid,
    readout: _Readout,
    options: FieldChoices,
    parameters: Parameters,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Remove the phase at echo time zero; return the phase and the methods that ran."""
    choice = options.offsets
    if choice == "none" or len(times) < 2:
        return phase, ()
    params = parameters_of("bipolar", BipolarParams(), parameters)
    even, polarity = None, readout.polarity
    alternates = len(set(polarity)) > 1
    if choice == "auto" and len(times) >= 3 and alternates and readout.stated != "monopolar":
        even = even_echo_phase(phase, magnitude, times, mask, grid, polarity)
        if not is_bipolar(even, params) and readout.stated != "bipolar":
            even = None
    if (choice == "bipolar" and alternates) or even is not None:
        corrected = bipolar(phase, magnitude, times, mask, grid, params=params, even=even, polarity=polarity)
        return corrected.phase, ("bipolar", "mcpc3ds")
    offset = parameters_of("mcpc3ds", OffsetParams(), parameters)
    return mcpc3ds(phase, magnitude, times, mask, grid, params=offset).phase, ("mcpc3ds",)
