"""The stages from phase to susceptibility on arrays, each one function, and all of them in one call."""

from bids_app.qsm.pipeline.acquisition import Acquisition
from bids_app.qsm.pipeline.background import LocalField, Pass, local_field
from bids_app.qsm.pipeline.echoes import EchoPhase
from bids_app.qsm.pipeline.field import Field, fit_total_field, total_field
from bids_app.qsm.pipeline.inversion import Susceptibility, susceptibility
from bids_app.qsm.pipeline.masks import EmptyMaskError, Masks, make_masks
from bids_app.qsm.pipeline.null_space_trend import Detrended, remove_null_space_trend
from bids_app.qsm.pipeline.options import Options, preset, presets
from bids_app.qsm.pipeline.phase import CorrectedPhase, NoSignalError, correct_phase
from bids_app.qsm.pipeline.reconstruct import Reconstruction, reconstruct
from bids_app.qsm.pipeline.relaxometry import R2star, r2star

__all__ = [
    "Acquisition",
    "CorrectedPhase",
    "Detrended",
    "EchoPhase",
    "EmptyMaskError",
    "Field",
    "LocalField",
    "Masks",
    "NoSignalError",
    "Options",
    "Pass",
    "R2star",
    "Reconstruction",
    "Susceptibility",
    "correct_phase",
    "fit_total_field",
    "local_field",
    "make_masks",
    "preset",
    "presets",
    "r2star",
    "reconstruct",
    "remove_null_space_trend",
    "susceptibility",
    "total_field",
]
