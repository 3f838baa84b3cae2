"""Transverse relaxation from multi-echo magnitude."""

from bids_app.qsm.relaxometry.arlo import arlo_applies, r2star_arlo
from bids_app.qsm.relaxometry.decay import Relaxation, RelaxationParams, noise_level
from bids_app.qsm.relaxometry.loglinear import r2star_loglinear

__all__ = ["Relaxation", "RelaxationParams", "arlo_applies", "noise_level", "r2star_arlo", "r2star_loglinear"]
