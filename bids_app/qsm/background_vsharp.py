"""V-SHARP: background removal by spherical mean values of varying radius."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_app.errors import ParameterError
from bids_app.qsm.fft import Crop, clean, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.params import Params, param
from bids_app.qsm.sphere import sphere_kernel


@dataclass(frozen=True)
class VsharpParams(Params):
    """Parameters of V-SHARP."""

    radius_max: float = param(12.0, low=1.0, high=40.0, unit="mm", doc="Radius of the largest sphere")
    radius_min: float = param(1.0, low=0.1, high=20.0, unit="mm", doc="Radius of the smallest sphere")
    radius_step: float = param(1.0, low=0.1, high=10.0, unit="mm", doc="Difference between two radii")
    threshold: float = param(0.05, low=1e-4, high=0.5, doc="Truncation of the deconvolution kernel")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.radius_min > self.radius_max:
            raise ParameterError(f"radius_min {self.radius_min} is larger than radius_max {self.radius_max}")


def vsharp(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: VsharpParams = VsharpParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by V-SHARP.

    The mean over a sphere leaves a harmonic (background) field unchanged; every voxel takes the largest sphere that
    fits into the mask, and the result is deconvolved with the kernel of the largest one.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling.
    params : VsharpParams
        Radii in mm and the truncation.
    weights : ignored
        V-SHARP does not weight the data; the argument is there so that all background methods are called alike.
    progress : callable, optional
        Called as ``progress(done, total)`` after each radius.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the returned mask.
    mask : bool, ``grid.shape``; voxels around which at least the smallest sphere fits.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Wu et al. 2012, 10.1002/mrm.23000; Schweser et al. 2011, 10.1016/j.neuroimage.2010.10.070.
    """
    mask = mask & np.isfinite(total_field_ppm)
    crop = Crop.around(mask, grid, 2 * params.radius_max + max(grid.voxel_size))
    inside = crop.take(mask)
    field = crop.take(clean(total_field_ppm, mask))
    field_spectrum, mask_spectrum = rfftn(field), rfftn(inside)
    radii = np.arange(params.radius_max, params.radius_min - 1e-6, -params.radius_step)
    high_pass = np.zeros_like(field)
    assigned = np.zeros(field.shape, bool)
    deconvolution: FloatArray | None = None
    for count, radius in enumerate(radii, start=1):
        sphere = sphere_kernel(float(radius), crop.grid)
        # A sphere fits where its mean over the mask is one; the tolerance is below one voxel's share of it.
        fits = irfftn(mask_spectrum * sphere, crop.grid.shape) > 1 - 1e-5
        fits &= (inside > 0) & ~assigned
        if fits.any():
            if deconvolution is None:
                deconvolution = 1 - sphere
            high_pass[fits] = (field - irfftn(field_spectrum * sphere, crop.grid.shape))[fits]
            assigned |= fits
        if progress is not None:
            progress(count, len(radii))
    if deconvolution is None:
        raise ValueError("no sphere fits into the mask: it is too thin for V-SHARP")
    inverse = np.zeros_like(deconvolution)
    kept = np.abs(deconvolution) > params.threshold
    inverse[kept] = 1 / deconvolution[kept]
    local = irfftn(rfftn(high_pass) * inverse, crop.grid.shape)
    local[~assigned] = 0
    return crop.put(local, grid.shape), crop.put(assigned, grid.shape)
