"""Fused numba kernels, and where numba keeps them."""
