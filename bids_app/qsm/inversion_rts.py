"""Rapid two-step dipole inversion (RTS)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.qsm.dipole import dipole_kernel
from bids_app.qsm.fft import ComplexArray, Crop, clean, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.inversion_problem import counted
from bids_app.qsm.params import Params, param
from bids_app.qsm.splitting import SplitGradient, blend, change_of, laplacian_spectrum, power


@dataclass(frozen=True)
class RtsParams(Params):
    """Parameters of RTS."""

    delta: float = param(0.15, low=0.01, high=0.6, doc="Kernel magnitude above which k-space is well conditioned")
    mu: float = param(1e5, low=1.0, high=1e9, doc="Weight of the well-conditioned data against total variation")
    rho: float = param(10.0, low=1e-3, high=1e4, doc="ADMM penalty")
    iterations: int = param(12, low=2, high=1000, doc="Most ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    first_step: int = param(4, low=1, high=50, doc="Iterations of the least-squares start")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def _least_squares_start(field: FloatArray, inside: FloatArray, kernel: FloatArray, steps: int) -> ComplexArray:
    """Spectrum of chi by conjugate gradients on mask(D chi) = field; few steps, so that streaks stay out.

    The field is zero outside the mask. Chi and its directions live in k-space, where D is a product, so that a step
    takes one pair of transforms.
    """
    residual = field.copy()
    direction = rfftn(residual)
    direction *= kernel
    chi = np.zeros_like(direction)
    norm = power(direction, field.shape)
    for step in range(1, steps + 1):
        if norm <= 0:
            break
        image = irfftn(direction * kernel, field.shape)
        image *= inside
        length = np.float32(norm / max(float(np.vdot(image, image)), 1e-30))
        chi += length * direction
        if step < steps:
            image *= length
            residual -= image
            gradient = rfftn(residual)
            gradient *= kernel
            norm, previous = power(gradient, field.shape), norm
            direction *= np.float32(norm / previous)
            direction += gradient
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
    fixed = _least_squares_start(crop.take(clean(local_field_ppm, mask)), inside, kernel, params.first_step)
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
