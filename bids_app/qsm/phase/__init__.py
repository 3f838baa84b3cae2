"""Stored phase to radians: scaling, checks, coil combination, phase offsets."""

from bids_app.qsm.phase.bipolar import BipolarParams, bipolar
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.phase.offsets import OffsetParams
from bids_app.qsm.results import OffsetResult

__all__ = ["BipolarParams", "OffsetParams", "OffsetResult", "bipolar", "mcpc3ds"]
