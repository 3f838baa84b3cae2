"""Rapid two-step dipole inversion (RTS)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import counted
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import SplitGradient, blend, change_of, laplacian_spectrum, power
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class RtsParams(Params):
    """Parameters of RTS."""

    delta: float = param(0.15, low=0.01, high=0.6, doc="Kernel magnitude above which k-space is well conditioned")
    mu: float = param(1e5, low=1.0, high=1e9, doc="Weight of the well-conditioned data against total variation")
    rho: float = param(10.0, low=1e-3, high=1e4, doc="ADMM penalty")
    iterations: int = param(12, low=2, high=1000, doc="Most ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    first_step: int = param(4, low=1, high=50, doc="Iterations of the least-squares start")
    padding: float = param(12.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _filtered(spectrum, kernel, out):  # type: ignore[no-untyped-def]
    nx, ny, nz = spectrum.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                out[i, j, k] = spectrum[i, j, k] * kernel[i, j, k]


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _masked_power(image, inside):  # type: ignore[no-untyped-def]
    """Squared norm of the image inside the mask, each plane summed alone so that the result is always the same."""
    nx, ny, nz = image.shape
    sums = np.zeros(nx)
    for i in numba.prange(nx):
        for j in range(ny):
            total = np.float32(0)
            for k in range(nz):
                total += inside[i, j, k] * image[i, j, k] * image[i, j, k]
            sums[i] += total
    return sums.sum()


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _descend(residual, image, inside, length):  # type: ignore[no-untyped-def]
    nx, ny, nz = image.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                residual[i, j, k] -= length * inside[i, j, k] * image[i, j, k]


@numba.njit(cache=True, nogil=True, parallel=True, fastmath=True)
def _add(chi, direction, length, scale, gradient):  # type: ignore[no-untyped-def]
    """``chi += length * direction``, then ``direction <- gradient + scale * direction``."""
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        for j in range(ny):
            for k in range(nz):
                d = direction[i, j, k]
                chi[i, j, k] += length * d
                direction[i, j, k] = gradient[i, j, k] + scale * d


def _least_squares_start(field: FloatArray, inside: FloatArray, kernel: FloatArray, steps: int) -> ComplexArray:
    """Spectrum of chi by conjugate gradients on mask(D chi) = field; few steps, so that streaks stay out.

    The field is zero outside the mask. Chi and its directions live in k-space, where D is a product, so that a step
    takes one pair of transforms.
    """
    residual = field.copy()
    direction = rfftn(residual)
    _filtered(direction, kernel, direction)
    chi, work = np.zeros_like(direction), np.empty_like(direction)
    norm = power(direction, field.shape)
    for step in range(1, steps + 1):
        if norm <= 0:
            break
        _filtered(direction, kernel, work)
        image = irfftn(work, field.shape)
        length = np.float32(norm / max(_masked_power(image, inside), 1e-30))
        if step == steps:
            chi += length * direction
            break
        _descend(residual, image, inside, length)
        gradient = rfftn(residual)
        _filtered(gradient, kernel, gradient)
        norm, previous = power(gradient, field.shape), norm
        _add(chi, direction, length, np.float32(norm / previous), gradient)
    return chi


def rts(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: RtsParams = RtsParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility by rapid two-step inversion.

    Step 1 solves the well-conditioned part of k-space by few least-squares iterations; step 2 keeps that part and
    fills the ill-conditioned rest by total-variation minimisation (ADMM). Parameters and result as in every
    inversion: float32 arrays of ``grid.shape``, field in ppm, chi in ppm, zero outside the mask. ``weights`` and
    ``magnitude`` are not used by this method. ``info`` receives the iterations.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Kames et al. 2018, 10.1016/j.neuroimage.2017.11.018.
    """
    mask = mask & np.isfinite(local_field_ppm)
    crop = Crop.around(mask, grid, params.padding)
    shape = crop.grid.shape
    kernel = dipole_kernel(crop.grid)
    inside = crop.take(mask)
    fixed = _least_squares_start(crop.take_clean(local_field_ppm, mask), inside, kernel, params.first_step)
    chi = irfftn(fixed.copy(), shape)
    well = np.float32(params.mu) * (np.abs(kernel) > params.delta)
    below = well + np.float32(params.rho) * laplacian_spectrum(crop.grid)
    below[0, 0, 0] = 1
    fixed *= well / below
    gain = np.float32(params.rho) / below
    fixed[0, 0, 0] = gain[0, 0, 0] = 0
    gradient, report = SplitGradient(crop.grid), counted(progress, info)
    for iteration in range(1, params.iterations + 1):
        spectrum = rfftn(gradient.step(chi, 1 / params.rho))
        blend(spectrum, fixed, gain)
        previous, chi = chi, irfftn(spectrum, shape)
        change, size = change_of(chi, previous)
        report(iteration, params.iterations)
        # The first iterates nearly equal the start, which says nothing about convergence.
        if iteration > 2 and change <= params.tolerance**2 * size:
            break
    chi *= inside
    return crop.put(chi, grid.shape)


RTS: Inversion[RtsParams] = Method(
    name="rts",
    kind="inversion",
    label="RTS",
    function=rts,
    params=RtsParams,
    sentence=("Susceptibility was estimated by rapid two-step inversion (RTS) [kames2018]{parameters}."),
)
