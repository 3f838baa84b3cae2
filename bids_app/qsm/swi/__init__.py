"""Susceptibility-weighted imaging."""

from bids_app.qsm.swi.clearswi import Swi, SwiParams, clear_swi

__all__ = ["Swi", "SwiParams", "clear_swi"]
