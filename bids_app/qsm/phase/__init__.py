"""Stored phase to radians: scaling, checks, coil combination, phase offsets."""

from bids_app.qsm.phase.bipolar import BipolarParams, bipolar
from bids_app.qsm.phase.offsets import OffsetParams, OffsetResult, mcpc3ds

__all__ = ["BipolarParams", "OffsetParams", "OffsetResult", "bipolar", "mcpc3ds"]
