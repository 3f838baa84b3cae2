"""Phase unwrapping."""

from bids_app.qsm.unwrap.laplacian import LaplacianParams, laplacian
from bids_app.qsm.unwrap.romeo import RomeoParams, romeo, romeo_quality

__all__ = ["LaplacianParams", "RomeoParams", "laplacian", "romeo", "romeo_quality"]
