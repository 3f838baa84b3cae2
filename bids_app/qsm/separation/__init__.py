"""Susceptibility source separation: paramagnetic and diamagnetic susceptibility in the same voxel."""

from bids_app.qsm.results import Sources
from bids_app.qsm.separation.apart import ApartParams, apart
from bids_app.qsm.separation.calibration import Relaxivity, estimate_relaxivity
from bids_app.qsm.separation.chi_separation import ChiSeparationParams, chi_separation
from bids_app.qsm.separation.closed_form import ClosedFormParams, closed_form
from bids_app.qsm.separation.decompose import DecomposeParams, decompose
from bids_app.qsm.separation.r2star_qsm import R2starQsmParams, r2star_qsm
from bids_app.qsm.separation.sources import SeparationData
from bids_app.qsm.separation.white_matter import WhiteMatterParams, white_matter

__all__ = [
    "ApartParams",
    "ChiSeparationParams",
    "ClosedFormParams",
    "DecomposeParams",
    "R2starQsmParams",
    "Relaxivity",
    "SeparationData",
    "Sources",
    "WhiteMatterParams",
    "apart",
    "chi_separation",
    "closed_form",
    "decompose",
    "estimate_relaxivity",
    "r2star_qsm",
    "white_matter",
]
