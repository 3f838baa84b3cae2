"""Laplacian unwrapping: the phase whose second derivatives are those of the wrapped one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import scipy.fft
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray, as_mask
from bids_app.qsm.grid import Grid, bounding_box
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, Unwrap
from bids_app.qsm.params import Params

_TWO_PI = np.float32(2 * np.pi)


@dataclass(frozen=True)
class LaplacianParams(Params):
    """Laplacian unwrapping has no parameters."""


@jit(parallel=True)
def _divergence(phase, mask, weights, out):  # type: ignore[no-untyped-def]
    """Sum of the wrapped steps to the six neighbours over the squared voxel size; steps out of the mask are zero."""
    nx, ny, nz = phase.shape
    for index in prange(nx):
        i = np.int64(index)
        for j in range(ny):
            for k in range(nz):
                total = np.float32(0)
                if mask[i, j, k]:
                    for d in range(3):
                        for side in (-1, 1):
                            a, b, c = i + side * (d == 0), j + side * (d == 1), k + side * (d == 2)
                            if 0 <= a < nx and 0 <= b < ny and 0 <= c < nz and mask[a, b, c]:
                                step = phase[a, b, c] - phase[i, j, k]
                                total += weights[d] * (step - _TWO_PI * np.rint(step / _TWO_PI))
                out[i, j, k] = total


def laplacian(
    phase: FloatArray,
    mask: BoolArray | None = None,
    grid: Grid | None = None,
    *,
    magnitude: FloatArray | None = None,
    echo_times: Sequence[float] | None = None,
    params: LaplacianParams = LaplacianParams(),
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Unwrap phase by solving Poisson's equation for it, with mirrored boundaries (discrete cosine transforms).

    Laplace(u) = div(wrapped steps between neighbours), whose solution does not depend on multiples of 2 pi. It is
    smooth everywhere and fast, but not exact: steep places are flattened, and the result differs from the wrapped
    phase by other than multiples of 2 pi. Every echo is unwrapped by itself, and shifted so that it agrees with its
    wrapped phase in the mean.

    Parameters
    ----------
    phase : float32, ``[x, y, z]`` or ``[echo, x, y, z]``
        Wrapped phase in rad.
    mask : bool, ``[x, y, z]``, optional
        Voxels to unwrap; the others do not influence them and are 0 in the result.
    grid : Grid, optional
        Voxel size; isotropic voxels without it.
    magnitude : float32, optional
        Not used; the argument is there so that all unwrapping methods are called alike.
    echo_times : sequence of float, optional
        Not used.
    params : LaplacianParams
        The method has none.
    progress : callable, optional
        Called as ``progress(done, total)`` after each echo.

    Returns
    -------
    float32, like ``phase``
        Unwrapped phase in rad, 0 outside the mask.

    Raises
    ------
    ValueError
        If shapes differ.

    References
    ----------
    Schofield and Zhu 2003, 10.1364/OL.28.001194.
    """
    echoes = phase if phase.ndim == 4 else phase[None]
    if echoes.ndim != 4 or (mask is not None and mask.shape != echoes.shape[1:]):
        raise ValueError(f"phase {phase.shape} and mask {None if mask is None else mask.shape} do not match")
    inside = np.ones(echoes.shape[1:], bool) if mask is None else as_mask(mask)
    box = bounding_box(inside)
    size = grid.voxel_size if grid is not None else (1.0, 1.0, 1.0)
    weights = np.asarray([1 / s**2 for s in size], np.float32)
    out = np.zeros(echoes.shape, np.float32)
    for number, echo in enumerate(echoes):
        part = np.ascontiguousarray(echo[box], np.float32)
        known = inside[box] & np.isfinite(part)
        out[number][box] = _solve(np.where(known, part, np.float32(0)), np.ascontiguousarray(known), weights)
        if progress is not None:
            progress(number + 1, len(echoes))
    return out if phase.ndim == 4 else out[0]


def _solve(phase: FloatArray, known: BoolArray, weights: FloatArray) -> FloatArray:
    source = np.empty_like(phase)
    _divergence(phase, known, weights, source)
    workers = numba.get_num_threads()
    spectrum = scipy.fft.dctn(source, overwrite_x=True, workers=workers)
    eigenvalues = np.zeros(phase.shape, np.float32)
    for axis, n in enumerate(phase.shape):
        line = weights[axis] * (2 * np.cos(np.pi * np.arange(n) / n) - 2)
        eigenvalues += line.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    eigenvalues[0, 0, 0] = 1
    spectrum /= eigenvalues
    spectrum[0, 0, 0] = 0
    unwrapped: FloatArray = scipy.fft.idctn(spectrum, overwrite_x=True, workers=workers)
    if known.any():
        difference = phase[known] - unwrapped[known]
        unwrapped += np.float32(np.angle(np.exp(1j * difference).mean(dtype=np.complex128)))
    unwrapped[~known] = 0
    return unwrapped


LAPLACIAN: Unwrap[LaplacianParams] = Method(
    name="laplacian",
    kind="unwrap",
    label="Laplacian unwrapping",
    function=laplacian,
    params=LaplacianParams,
    sentence="Phase was unwrapped by a Laplacian method [schofield2003].",
)
