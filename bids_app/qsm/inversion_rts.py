"""Rapid two-step dipole inversion (RTS)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.qsm.dipole import dipole_kernel
from bids_app.qsm.fft import Crop, clean, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.inversion_problem import counted
from bids_app.qsm.params import Params, param
from bids_app.qsm.splitting import SplitGradient, blend, change_of, laplacian_spectrum


@dataclass(frozen=True)
class RtsParams(Params):
    """Parameters of RTS."""

    delta: float = param(0.15, low=0.01, high=0.6, doc="Kernel magnitude above which k-space is well conditioned")
    mu: float = param(1e5, low=1.0, high=1e9, doc="Weight of the well-conditioned data against total variation")
    rho: float = param(10.0, low=1e-3, high=1e4, doc="ADMM penalty")
    iterations: int = param(20, low=2, high=1000, doc="Most ADMM iterations")
    tolerance: float = param(1e-2, low=0.0, high=1.0, doc="Relative change that ends the iteration")
    first_step: int = param(4, low=1, high=50, doc="Iterations of the least-squares start")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def _least_squares_start(field: FloatArray, inside: FloatArray, kernel: FloatArray, steps: int) -> FloatArray:
    """Conjugate gradients on the normal equations of mask(D chi) = field; few steps, so that streaks stay out."""
    shape = field.shape

    def convolve(array: FloatArray) -> FloatArray:
        return irfftn(rfftn(array) * kernel, shape)

    chi = np.zeros_like(field)
    residual = field.copy()
    gradient = convolve(residual * inside)
    direction = gradient.copy()
    norm = float(np.vdot(gradient, gradient).real)
    for _ in range(steps):
        if norm <= 0:
            break
        image = inside * convolve(direction)
        step = np.float32(norm / max(float(np.vdot(image, image)), 1e-30))
        chi += step * direction
        residual -= step * image
        gradient = convolve(residual * inside)
        new_norm = float(np.vdot(gradient, gradient))
        direction = gradient + np.float32(new_norm / norm) * direction
        norm = new_norm
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
    chi = _least_squares_start(crop.take(clean(local_field_ppm, mask)), inside, kernel, params.first_step)
    well = np.float32(params.mu) * (np.abs(kernel) > params.delta)
    below = well + np.float32(params.rho) * laplacian_spectrum(crop.grid)
    below[0, 0, 0] = 1
    fixed = rfftn(chi)
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
