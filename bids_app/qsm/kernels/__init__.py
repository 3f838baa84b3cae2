"""Fused numba kernels: fast paths behind the plain operators and in the solvers, and the decorator they use."""

from bids_app.qsm.kernels.cache import jit

__all__ = ["jit"]
