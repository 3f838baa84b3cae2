"""Projection onto dipole fields (PDF): the background is the best field of sources outside the object."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.dipole import dipole_kernel
from bids_app.qsm.fft import Crop, clean, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class PdfParams(Params):
    """Parameters of PDF."""

    iterations: int = param(60, low=1, high=2000, doc="Most conjugate-gradient iterations")
    tolerance: float = param(0.01, low=0.0, high=1.0, doc="Residual of the normal equations, relative, that ends them")
    padding: float = param(40.0, low=0.0, high=300.0, unit="mm", doc="Room around the object for outside sources")


def pdf(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: PdfParams = PdfParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by projection onto dipole fields; the mask stays whole.

    Finds the sources outside the mask whose field fits the total field inside it best, by conjugate gradients on the
    weighted normal equations, and subtracts that field. A constant field, which sources far away make and the finite
    grid has no room for, is removed first.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling; oblique B0 and anisotropic voxels are honoured.
    params : PdfParams
        Iterations, tolerance, padding in mm.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the data, for example the inverse of the field's standard error.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the mask.
    mask : bool, ``grid.shape``; the object where the field is finite.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Liu et al. 2011, 10.1002/nbm.1670.
    """
    mask = mask & np.isfinite(total_field_ppm)
    crop = Crop.around(mask, grid, 2 * params.padding)
    # The box lies at one corner of the periodic grid, so that the padding is on both of its sides.
    shape, inside = crop.grid.shape, crop.take(mask)
    outside = 1 - inside
    weight = inside.copy() if weights is None else crop.take(clean(weights, mask))
    weight /= max(float(weight.max()), 1e-30)
    field = crop.take(clean(total_field_ppm, mask))
    field -= np.float32(np.average(field, weights=weight)) * inside
    kernel = dipole_kernel(crop.grid)

    def convolve(array: FloatArray) -> FloatArray:
        return irfftn(rfftn(array) * kernel, shape)

    sources = np.zeros(shape, np.float32)
    residual = weight * field
    gradient = outside * convolve(weight * residual)
    direction = gradient.copy()
    norm = first = float(np.vdot(gradient, gradient))
    for iteration in range(1, params.iterations + 1):
        if norm <= first * params.tolerance**2:
            break
        image = weight * convolve(direction)
        step = np.float32(norm / max(float(np.vdot(image, image)), 1e-30))
        sources += step * direction
        residual -= step * image
        gradient = outside * convolve(weight * residual)
        norm, previous = float(np.vdot(gradient, gradient)), norm
        direction = gradient + np.float32(norm / previous) * direction
        if progress is not None:
            progress(iteration, params.iterations)
    local = (field - convolve(sources)) * inside
    return crop.put(local, grid.shape), mask
