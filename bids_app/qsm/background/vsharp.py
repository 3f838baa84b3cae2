"""V-SHARP: background removal by spherical mean values of varying radius."""

from dataclasses import dataclass

import numpy as np

from bids_app.errors import ParameterError
from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.device import current_device, to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.boundary import known_object
from bids_app.qsm.mask.erosion import Erosion
from bids_app.qsm.method import Background, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.sphere import less_mean, sphere_kernel, sphere_weights
from bids_app.qsm.operators.vectors import deconvolve
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress

#: Sums over spheres are done voxel by voxel where they take fewer terms than this times the volume; a transform takes
#: as long as that.
_DIRECT = 12


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
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by V-SHARP.

    The mean over a sphere S leaves a harmonic field unchanged: f - S f is the same for total and local field. Every
    voxel takes the largest sphere that fits into the mask, and the result is divided in k-space by 1 - S of the
    largest one, truncated at ``threshold``.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : VsharpParams
        Radii in mm and the truncation.
    weights : float32, ``grid.shape``, optional
        The method does not weight the data, but where the weight is 0 at the boundary, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each radius.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        Voxels around which at least the smallest sphere fits.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, or the shapes differ.

    References
    ----------
    Wu et al. 2012, 10.1002/mrm.23000; Schweser et al. 2011, 10.1016/j.neuroimage.2010.10.070.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = vsharp(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 0.1)
    True
    """
    mask = known_object(total_field_ppm, mask, grid, weights)
    crop = Crop.around(mask, grid, 2 * params.radius_max + max(grid.voxel_size))
    inside = crop.take(mask, np.bool_)
    field = crop.take_clean(total_field_ppm, mask)
    high_pass, assigned, largest = _high_pass(field, inside, crop.grid, params, progress)
    spectrum = rfftn(to_device(high_pass))
    deconvolve(spectrum, to_device(1 - sphere_kernel(largest, crop.grid)), params.threshold)
    local = to_host(irfftn(spectrum, crop.grid.shape))
    local *= assigned
    return crop.put(local, grid.shape), crop.put(assigned, grid.shape)


def _high_pass(
    field: FloatArray, inside: BoolArray, grid: Grid, params: VsharpParams, progress: Progress | None
) -> tuple[FloatArray, BoolArray, float]:
    """Field less its mean over the largest sphere that fits, where one fits, and the largest radius in use (mm)."""
    radii = np.arange(params.radius_max, params.radius_min - 1e-6, -params.radius_step)
    high_pass, assigned = np.zeros_like(field), np.zeros(field.shape, bool)
    spectrum: ComplexArray | None = None
    largest = 0.0
    erosion = Erosion(inside, int(np.ceil(max(params.radius_max, *grid.voxel_size) * 1.0001 / grid.voxel_size[2])))
    for count, radius in enumerate(radii, start=1):
        sphere = sphere_weights(float(radius), grid.voxel_size)
        fits = np.flatnonzero(erosion.by(sphere) & ~assigned)
        if fits.size:
            largest = largest or float(radius)
            if current_device().is_host and fits.size * np.count_nonzero(sphere) < _DIRECT * field.size:
                less_mean(field, fits, sphere, high_pass)
            else:
                spectrum = rfftn(to_device(field)) if spectrum is None else spectrum
                means = to_host(irfftn(spectrum * to_device(sphere_kernel(float(radius), grid)), grid.shape))
                high_pass.reshape(-1)[fits] = field.reshape(-1)[fits] - means.reshape(-1)[fits]
            assigned.reshape(-1)[fits] = True
        if progress is not None:
            progress(count, len(radii))
    if not largest:
        raise ValueError("no sphere fits into the mask: it is too thin for V-SHARP")
    return high_pass, assigned, largest


VSHARP: Background[VsharpParams] = Method(
    name="vsharp",
    kind="background",
    label="V-SHARP",
    function=vsharp,
    params=VsharpParams,
    sentence="The background field was removed by V-SHARP [schweser2011; wu2012]{parameters}.",
    on_device=True,
)
