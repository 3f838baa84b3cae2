"""Kernel that fills in the dipole response."""

# mypy: disable-error-code="no-untyped-def"

import numba

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True, error_model="numpy")
def fill_dipole(axes, odd, b0, kernel):
    """Fill in 1/3 - (k.b0)^2 / |k|^2, squares from ``axes`` and cross terms from ``odd`` frequencies."""
    x, y, z = axes
    ox, oy, oz = odd
    for i in numba.prange(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            squared = x[i] ** 2 + y[j] ** 2
            along = (b0[0] * x[i]) ** 2 + (b0[1] * y[j]) ** 2 + 2 * b0[0] * b0[1] * ox[i] * oy[j]
            across = 2 * (b0[0] * ox[i] + b0[1] * oy[j]) * b0[2]
            for k in range(kernel.shape[2]):
                total = along + (b0[2] * z[k]) ** 2 + across * oz[k]
                kernel[i, j, k] = 1 / 3 - total / (squared + z[k] ** 2)
