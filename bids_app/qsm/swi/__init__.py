"""Susceptibility-weighted imaging."""

from bids_app.qsm.results import Swi
from bids_app.qsm.swi.clearswi import SwiParams, clear_swi

__all__ = ["Swi", "SwiParams", "clear_swi"]
