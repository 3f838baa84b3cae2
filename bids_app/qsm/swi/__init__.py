"""Susceptibility-weighted imaging."""

from bids_app.qsm.results import Swi
from bids_app.qsm.swi.clearswi import SwiParams, clear_swi
from bids_app.qsm.swi.phase_mask import PhaseMaskParams, phase_mask_swi
from bids_app.qsm.swi.smwi import SmwiParams, smwi
from bids_app.qsm.swi.tswi import TswiParams, true_swi

__all__ = [
    "PhaseMaskParams",
    "SmwiParams",
    "Swi",
    "SwiParams",
    "TswiParams",
    "clear_swi",
    "phase_mask_swi",
    "smwi",
    "true_swi",
]
