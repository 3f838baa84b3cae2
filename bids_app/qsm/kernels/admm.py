"""Kernels of the ADMM with a spatially weighted data term."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit

#: Steps of Newton from the minimiser of the linear data term.
NEWTON_STEPS = 4
#: Steps that replace the sine of half the phase error by its tangent; each lowers the objective.
TANGENT_STEPS = 4


@jit(parallel=True)
def fit_data(image, dual, field, weight, penalty, kind, scale):
    """Proximal step of the data term; ``image`` (D chi, and what else explains the field) becomes 2 y - v.

    v = image + dual, y the minimiser of weight^2 loss(y - field) + penalty/2 (y - v)^2, and dual becomes v - y. The
    weight itself, not its square, stands before the losses ``l1`` (2) and ``nonlinear-l1`` (3).
    """
    nx, ny, nz = image.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                v = image[i, j, k] + dual[i, j, k]
                w = weight[i, j, k] * weight[i, j, k]
                f = field[i, j, k]
                if w == 0:
                    y = v
                elif kind == 0:
                    y = (w * f + penalty * v) / (w + penalty)
                elif kind == 1:
                    y = (w * f + penalty * v) / (w + penalty)
                    for _ in range(NEWTON_STEPS):
                        angle = scale * (y - f)
                        slope = w * np.sin(angle) / scale + penalty * (y - v)
                        y -= slope / (w * max(np.cos(angle), np.float32(0)) + penalty)
                elif kind == 3:
                    turn = np.float32(2 * np.pi) / scale
                    wraps = np.float32(np.round((v - f) / turn))
                    far = abs(v - f - wraps * turn)
                    near = far
                    for _ in range(TANGENT_STEPS):
                        near = max(far - weight[i, j, k] * np.cos(scale * near / 2) / penalty, np.float32(0))
                    y = f + wraps * turn + (near if v - f > wraps * turn else -near)
                else:
                    bound = weight[i, j, k] / penalty
                    r = v - f
                    y = f + r - min(max(r, -bound), bound)
                dual[i, j, k] = v - y
                image[i, j, k] = 2 * y - v


@jit(parallel=True)
def combine(spectrum, data, kernel, laplacian, data_penalty, penalty, ridge):
    """Chi of the normal equations in ``data`` and its field's spectrum in ``spectrum`` (which held grad^T (z - u))."""
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                d = kernel[i, j, k]
                below = data_penalty * d * d + penalty * laplacian[i, j, k] + ridge
                value = data[i, j, k] * (data_penalty * d) + spectrum[i, j, k] * penalty
                value = value / below if below > 0 else 0 * value
                data[i, j, k] = value
                spectrum[i, j, k] = value * d
