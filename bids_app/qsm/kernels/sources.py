"""Vector operations of the preconditioned conjugate gradients that fit sources to a field."""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit


@jit(parallel=True)
def descend(solution, direction, gradient, preconditioner, factor, step):
    """Update direction = preconditioner gradient + factor direction; step the solution before with the old one."""
    for i in numba.prange(solution.shape[0]):
        for j in range(solution.shape[1]):
            for k in range(solution.shape[2]):
                old = direction[i, j, k]
                solution[i, j, k] += step * old
                direction[i, j, k] = preconditioner[i, j, k] * gradient[i, j, k] + factor * old


@jit(parallel=True)
def finish_gradient(gradient, prior, solution, direction, step, ridge, preconditioner):
    """gradient = prior gradient - ridge (solution + step direction); returns <gradient, preconditioner gradient>."""
    partial = np.zeros(gradient.shape[0])
    for i in numba.prange(gradient.shape[0]):
        total = 0.0
        for j in range(gradient.shape[1]):
            for k in range(gradient.shape[2]):
                now = solution[i, j, k] + step * direction[i, j, k]
                value = prior[i, j, k] * gradient[i, j, k] - ridge * now
                gradient[i, j, k] = value
                total += preconditioner[i, j, k] * value * value
        partial[i] = total
    return partial.sum()


@jit(parallel=True)
def norm_squared(array):
    """Return the squared norm, each plane summed alone."""
    partial = np.zeros(array.shape[0])
    for i in numba.prange(array.shape[0]):
        total = 0.0
        for j in range(array.shape[1]):
            for k in range(array.shape[2]):
                total += array[i, j, k] * array[i, j, k]
        partial[i] = total
    return partial.sum()
