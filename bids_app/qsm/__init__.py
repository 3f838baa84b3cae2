"""Numerics of quantitative susceptibility mapping: arrays in, arrays out.

Every inversion is called ``f(local_field_ppm, mask, grid, *, params=..., weights=None, magnitude=None,
progress=None, info=None) -> chi_ppm`` (``info``: a dictionary that receives what the method chose and did), every
background method ``f(total_field_ppm, mask, grid, *, params=..., weights=None, progress=None) -> (local_field_ppm,
mask)``.
"""

from bids_app.qsm import background, field, inversion, phase, relaxometry, swi, unwrap
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import cache  # noqa: F401 (must come before the first kernel)
from bids_app.qsm.method import Method
from bids_app.qsm.registry import (
    BACKGROUND,
    CORRECTIONS,
    FIELD_FITS,
    INVERSIONS,
    METHODS,
    OFFSETS,
    RELAXOMETRY,
    SINGLE_STEP,
    SWI,
    UNWRAP,
)
from bids_app.qsm.threads import set_threads, threads

DEFAULT_INVERSION = "bayes"

__all__ = [
    "BACKGROUND",
    "CORRECTIONS",
    "DEFAULT_INVERSION",
    "FIELD_FITS",
    "INVERSIONS",
    "METHODS",
    "OFFSETS",
    "RELAXOMETRY",
    "SINGLE_STEP",
    "SWI",
    "UNWRAP",
    "Grid",
    "Method",
    "background",
    "field",
    "inversion",
    "phase",
    "relaxometry",
    "set_threads",
    "swi",
    "threads",
    "unwrap",
]
