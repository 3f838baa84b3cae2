"""Quantitative susceptibility mapping on arrays: from the phase and magnitude of the echoes to a susceptibility map.

The stages of the pipeline are functions with small results: :func:`total_field`, :func:`make_masks`,
:func:`local_field`, :func:`susceptibility`, :func:`remove_null_space_trend`, :func:`reference`, :func:`r2star`;
:func:`reconstruct` runs them by the name of a preset. Every method is called by its name in the package of its family:
``qsm.inversion.rts(...)``, ``qsm.background.vsharp(...)``, ``qsm.unwrap.romeo(...)``, ``qsm.swi.clear_swi(...)``,
``qsm.separation.white_matter(qsm.SeparationData(...))``.

Arrays are indexed ``[x, y, z]`` in voxel axes (echoes first where there are several), float32. Phase is in rad, echo
times in s, fields of the echoes' fit in Hz, all other fields and susceptibility in ppm.

Examples
--------
A ball of 0.1 ppm in a head, its phase at 3 T, and the map that the preset ``fast`` makes of it:

>>> import numpy as np
>>> from bids_app import qsm
>>> from bids_app.qsm.operators.dipole import forward_field
>>> grid, times = qsm.Grid((48, 48, 48), (2.0, 2.0, 2.0)), (0.004, 0.010, 0.016)
>>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
>>> true = np.where(x**2 + y**2 + z**2 < 0.05, 0.1, 0.0).astype(np.float32)
>>> head, field_hz = x**2 + y**2 + z**2 < 0.7, 127.7 * forward_field(true, grid)
>>> signal = np.stack([head * np.exp((2j * np.pi * field_hz - 20) * t) for t in times])
>>> noise = np.random.default_rng(0).normal(scale=0.01, size=(2, *signal.shape))
>>> signal = signal + noise[0] + 1j * noise[1]
>>> result = qsm.reconstruct(np.angle(signal), np.abs(signal), times, grid, field_strength=3.0, preset="fast")
>>> inside = result.mask & (true > 0)
>>> bool(0.06 < result.chi[inside].mean() - np.median(result.chi[result.mask]) < 0.12)
True
"""

from bids_app.qsm import background, field, inversion, phase, relaxometry, separation, swi, unwrap
from bids_app.qsm.device import Device, find_device, use_device
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.combine import reference
from bids_app.qsm.mask.make import make_mask
from bids_app.qsm.method import Method
from bids_app.qsm.options import (
    BackgroundChoices,
    FieldChoices,
    InversionChoices,
    MaskChoices,
    ReferenceChoices,
    RelaxometryChoices,
    SeparationChoices,
    SwiChoices,
)
from bids_app.qsm.params import Params
from bids_app.qsm.phase.scaling import to_radians
from bids_app.qsm.pipeline import (
    Acquisition,
    CorrectedPhase,
    Detrended,
    EchoPhase,
    EmptyMaskError,
    Field,
    LocalField,
    Masks,
    NoSignalError,
    Options,
    Pass,
    R2star,
    Reconstruction,
    Susceptibility,
    correct_phase,
    fit_total_field,
    local_field,
    make_masks,
    preset,
    presets,
    r2star,
    reconstruct,
    remove_null_space_trend,
    susceptibility,
    total_field,
)
from bids_app.qsm.registry import (
    BACKGROUND,
    CORRECTIONS,
    FIELD_FITS,
    GRADIENT_CORRECTIONS,
    INVERSIONS,
    METHODS,
    OFFSETS,
    RELAXOMETRY,
    SEPARATION,
    SINGLE_STEP,
    SPIN_ECHO,
    SWI,
    UNWRAP,
)
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.sources import SeparationData
from bids_app.qsm.threads import set_threads, threads

DEFAULT_INVERSION = InversionChoices().method


def __dir__() -> list[str]:
    """Return the public names alone, which is what completion offers."""
    return __all__


__all__ = [
    "BACKGROUND",
    "CORRECTIONS",
    "DEFAULT_INVERSION",
    "FIELD_FITS",
    "GRADIENT_CORRECTIONS",
    "INVERSIONS",
    "METHODS",
    "OFFSETS",
    "RELAXOMETRY",
    "SEPARATION",
    "SINGLE_STEP",
    "SPIN_ECHO",
    "SWI",
    "UNWRAP",
    "Acquisition",
    "BackgroundChoices",
    "CorrectedPhase",
    "Detrended",
    "Device",
    "EchoPhase",
    "EmptyMaskError",
    "Field",
    "FieldChoices",
    "Grid",
    "InversionChoices",
    "LocalField",
    "MaskChoices",
    "Masks",
    "Method",
    "NoSignalError",
    "Options",
    "Params",
    "Pass",
    "R2star",
    "Reconstruction",
    "ReferenceChoices",
    "RelaxometryChoices",
    "SeparationChoices",
    "SeparationData",
    "Sources",
    "Susceptibility",
    "SwiChoices",
    "background",
    "correct_phase",
    "field",
    "find_device",
    "fit_total_field",
    "inversion",
    "local_field",
    "make_mask",
    "make_masks",
    "phase",
    "preset",
    "presets",
    "r2star",
    "reconstruct",
    "reference",
    "relaxometry",
    "remove_null_space_trend",
    "separation",
    "set_threads",
    "susceptibility",
    "swi",
    "threads",
    "to_radians",
    "total_field",
    "unwrap",
    "use_device",
]
