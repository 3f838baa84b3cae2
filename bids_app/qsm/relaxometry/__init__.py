"""Transverse relaxation from multi-echo magnitude."""

from bids_app.qsm.relaxometry.arlo import arlo_applies, r2star_arlo
from bids_app.qsm.relaxometry.decay import RelaxationParams, noise_level
from bids_app.qsm.relaxometry.epg import EpgParams, epg_signal
from bids_app.qsm.relaxometry.epg_fit import r2_epg
from bids_app.qsm.relaxometry.field_gradient import GradientParams, r2star_corrected
from bids_app.qsm.relaxometry.loglinear import r2star_loglinear
from bids_app.qsm.relaxometry.r2prime import R2prime, R2primeParams, r2prime
from bids_app.qsm.relaxometry.spin_echo import SpinEchoParams, r2_loglinear
from bids_app.qsm.results import CorrectedDecay, Relaxation, SpinEchoFit

__all__ = [
    "CorrectedDecay",
    "EpgParams",
    "GradientParams",
    "R2prime",
    "R2primeParams",
    "Relaxation",
    "RelaxationParams",
    "SpinEchoFit",
    "SpinEchoParams",
    "arlo_applies",
    "epg_signal",
    "noise_level",
    "r2_epg",
    "r2_loglinear",
    "r2prime",
    "r2star_arlo",
    "r2star_corrected",
    "r2star_loglinear",
]
