"""Numerics of quantitative susceptibility mapping: arrays in, arrays out.

Every inversion is called ``f(local_field_ppm, mask, grid, *, params=..., weights=None, magnitude=None,
progress=None, info=None) -> chi_ppm`` (``info``: a dictionary that receives what the method chose and did), every
background method ``f(total_field_ppm, mask, grid, *, params=..., weights=None, progress=None) -> (local_field_ppm,
mask)``.
"""

from collections.abc import Callable
from typing import Any

from bids_app.qsm.background.ismv import ismv
from bids_app.qsm.background.lbv import lbv
from bids_app.qsm.background.pdf import pdf
from bids_app.qsm.background.resharp import resharp
from bids_app.qsm.background.tfi import tfi
from bids_app.qsm.background.vsharp import vsharp
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import bayes
from bids_app.qsm.inversion.hdqsm import hdqsm
from bids_app.qsm.inversion.ilsqr import ilsqr
from bids_app.qsm.inversion.medi import medi
from bids_app.qsm.inversion.nltv import nltv
from bids_app.qsm.inversion.rts import rts
from bids_app.qsm.inversion.tgv import tgv
from bids_app.qsm.inversion.tikhonov import tikhonov
from bids_app.qsm.inversion.tkd import tkd
from bids_app.qsm.inversion.tv import tv
from bids_app.qsm.kernels import cache  # noqa: F401 (must come before the first kernel)
from bids_app.qsm.threads import set_threads, threads
from bids_app.qsm.unwrap.laplacian import laplacian
from bids_app.qsm.unwrap.romeo import romeo

INVERSIONS: dict[str, Callable[..., Any]] = {
    "bayes": bayes,
    "hdqsm": hdqsm,
    "ilsqr": ilsqr,
    "medi": medi,
    "nltv": nltv,
    "rts": rts,
    "tgv": tgv,
    "tikhonov": tikhonov,
    "tkd": tkd,
    "tv": tv,
}
#: Inversions that take the total field: background removal is part of them.
SINGLE_STEP = frozenset({"tgv"})
BACKGROUND: dict[str, Callable[..., Any]] = {
    "ismv": ismv,
    "lbv": lbv,
    "pdf": pdf,
    "resharp": resharp,
    "tfi": tfi,
    "vsharp": vsharp,
}
UNWRAP: dict[str, Callable[..., Any]] = {"laplacian": laplacian, "romeo": romeo}
DEFAULT_INVERSION = "bayes"

__all__ = ["BACKGROUND", "DEFAULT_INVERSION", "INVERSIONS", "SINGLE_STEP", "UNWRAP", "Grid", "set_threads", "threads"]
