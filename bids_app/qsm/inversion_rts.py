"""Rapid two-step dipole inversion (RTS)."""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from bids_app.qsm.dipole import dipole_kernel
from bids_app.qsm.fft import Crop, clean, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param


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


@numba.njit(cache=True, nogil=True, parallel=True)
def _shrink_gradient(chi, px, py, pz, hx, hy, hz, threshold, div):  # type: ignore[no-untyped-def]
    """One split-Bregman half step: shrink grad(chi) + p, update p, and return div of (shrunk - p) in ``div``."""
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        i1 = i + 1 if i + 1 < nx else 0
        for j in range(ny):
            j1 = j + 1 if j + 1 < ny else 0
            for k in range(nz):
                k1 = k + 1 if k + 1 < nz else 0
                c = chi[i, j, k]
                gx = (chi[i1, j, k] - c) * hx + px[i, j, k]
                gy = (chi[i, j1, k] - c) * hy + py[i, j, k]
                gz = (chi[i, j, k1] - c) * hz + pz[i, j, k]
                # p becomes the clipped part; shrunk - p = g - 2 p, kept implicitly for the divergence below.
                px[i, j, k] = min(max(gx, -threshold), threshold)
                py[i, j, k] = min(max(gy, -threshold), threshold)
                pz[i, j, k] = min(max(gz, -threshold), threshold)
                div[0, i, j, k] = gx - 2 * px[i, j, k]
                div[1, i, j, k] = gy - 2 * py[i, j, k]
                div[2, i, j, k] = gz - 2 * pz[i, j, k]


@numba.njit(cache=True, nogil=True, parallel=True)
def _adjoint_gradient(g, hx, hy, hz, out):  # type: ignore[no-untyped-def]
    """Adjoint of the periodic forward difference, summed over the axes."""
    nx, ny, nz = out.shape
    for i in numba.prange(nx):
        i1 = i - 1 if i > 0 else nx - 1
        for j in range(ny):
            j1 = j - 1 if j > 0 else ny - 1
            for k in range(nz):
                k1 = k - 1 if k > 0 else nz - 1
                out[i, j, k] = (
                    (g[0, i1, j, k] - g[0, i, j, k]) * hx
                    + (g[1, i, j1, k] - g[1, i, j, k]) * hy
                    + (g[2, i, j, k1] - g[2, i, j, k]) * hz
                )


def laplacian_spectrum(grid: Grid) -> FloatArray:
    """Eigenvalues of (adjoint gradient)(gradient) with periodic forward differences, on the half grid, 1/mm2."""
    total = np.zeros((grid.shape[0], grid.shape[1], grid.shape[2] // 2 + 1), np.float32)
    for axis, (n, size) in enumerate(zip(grid.shape, grid.voxel_size, strict=True)):
        count = total.shape[axis]
        values = (2 - 2 * np.cos(2 * np.pi * np.arange(count) / n)) / size**2
        total += values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return total


def rts(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: RtsParams = RtsParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Susceptibility by rapid two-step inversion.

    Step 1 solves the well-conditioned part of k-space by few least-squares iterations; step 2 keeps that part and
    fills the ill-conditioned rest by total-variation minimisation (ADMM). Parameters and result as in every
    inversion: float32 arrays of ``grid.shape``, field in ppm, chi in ppm, zero outside the mask. ``weights`` and
    ``magnitude`` are not used by this method.

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
    denominator = well + np.float32(params.rho) * laplacian_spectrum(crop.grid)
    denominator[0, 0, 0] = 1
    fixed = rfftn(chi) * well
    fixed[0, 0, 0] = 0
    px, py, pz = (np.zeros(shape, np.float32) for _ in range(3))
    split = np.empty((3, *shape), np.float32)
    divergence = np.empty(shape, np.float32)
    hx, hy, hz = (np.float32(1 / size) for size in crop.grid.voxel_size)
    for iteration in range(1, params.iterations + 1):
        _shrink_gradient(chi, px, py, pz, hx, hy, hz, np.float32(1 / params.rho), split)
        _adjoint_gradient(split, hx, hy, hz, divergence)
        spectrum = rfftn(divergence)
        spectrum *= np.float32(params.rho)
        spectrum += fixed
        spectrum /= denominator
        previous, chi = chi, irfftn(spectrum, shape)
        previous -= chi
        change = float(np.linalg.norm(previous)) / max(float(np.linalg.norm(chi)), 1e-30)
        if progress is not None:
            progress(iteration, params.iterations)
        # The first iterates nearly equal the start, which says nothing about convergence.
        if iteration > 2 and change < params.tolerance:
            break
    return crop.put(chi * inside, grid.shape)
