"""Iterative background removal by one sphere: RESHARP and iSMV."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.reliability import remove_unreliable_boundary
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.sphere import sphere_fits, sphere_kernel
from bids_app.qsm.params import Params, param

_Operator = Callable[[FloatArray], FloatArray]
_Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class ResharpParams(Params):
    """Parameters of RESHARP."""

    radius: float = param(6.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    regularisation: float = param(1e-4, low=0.0, high=1.0, doc="Tikhonov weight of the local field (lambda)")
    iterations: int = param(60, low=1, high=2000, doc="Most conjugate-gradient iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Residual of the normal equations, relative, that ends them")


@dataclass(frozen=True)
class IsmvParams(Params):
    """Parameters of iSMV."""

    radius: float = param(5.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    iterations: int = param(500, low=1, high=5000, doc="Most iterations")
    tolerance: float = param(1e-6, low=0.0, high=1.0, doc="Change of the background, relative to the first, that ends")


def _conjugate_gradients(
    operator: _Operator, right: FloatArray, iterations: int, tolerance: float, progress: _Progress
) -> FloatArray:
    """Solve operator(x) = right from zero until the residual is ``tolerance`` of the right side."""
    solution, residual = np.zeros_like(right), right.copy()
    direction = residual.copy()
    norm = first = float(np.vdot(residual, residual))
    for iteration in range(1, iterations + 1):
        if norm <= first * tolerance**2:
            break
        image = operator(direction)
        step = np.float32(norm / max(float(np.vdot(direction, image)), 1e-30))
        solution += step * direction
        image *= step
        residual -= image
        norm, previous = float(np.vdot(residual, residual)), norm
        direction *= np.float32(norm / previous)
        direction += residual
        if progress is not None:
            progress(iteration, iterations)
    return solution


def _sphere_problem(
    total: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None, radius: float, name: str
) -> tuple[Crop, FloatArray, FloatArray, FloatArray]:
    """Crop, field on it, voxels (0 or 1) around which the sphere fits, and the sphere's spectrum."""
    mask = remove_unreliable_boundary(mask & np.isfinite(total), weights)
    crop = Crop.around(mask, grid, radius + 2 * max(grid.voxel_size))
    sphere = sphere_kernel(radius, crop.grid)
    valid = sphere_fits(crop.take(mask), sphere).astype(np.float32)
    if not valid.any():
        raise ValueError(f"no sphere of {radius:g} mm fits into the mask: it is too thin for {name}")
    return crop, crop.take_clean(total, mask), valid, sphere


def resharp(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: ResharpParams = ResharpParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by regularised SHARP.

    The difference of a field and its mean over a sphere is the same for total and local field where the sphere fits.
    Of all local fields that explain it, the one of the smallest norm (Tikhonov) is found by conjugate gradients.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling.
    params : ResharpParams
        Radius in mm, regularisation, stopping rule.
    weights : float32, ``grid.shape``, optional
        The method does not weight the data, but where the weight is 0 at the rim, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``; zero outside the returned mask.
    mask : bool, ``grid.shape``; voxels around which the sphere fits.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, or the shapes differ.

    References
    ----------
    Sun & Wilman 2014, 10.1002/mrm.24765.
    """
    crop, field, valid, sphere = _sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "RESHARP")
    high_pass, shape = 1 - sphere, crop.grid.shape

    def normal(array: FloatArray) -> FloatArray:
        part = irfftn(rfftn(array) * high_pass, shape)
        part *= valid
        return irfftn(rfftn(part) * high_pass, shape)

    ridge = np.float32(params.regularisation)
    local = _conjugate_gradients(
        lambda a: normal(a) + ridge * a, normal(field), params.iterations, params.tolerance, progress
    )
    local *= valid
    return crop.put(local, grid.shape), crop.put(valid > 0, grid.shape)


def ismv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: IsmvParams = IsmvParams(),
    weights: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Local field by iterated spherical mean values.

    The background is the field that equals its own spherical means where the sphere fits, and the total field on the
    rest of the mask. Replacing every value by its mean over and over leads there slowly; since that map is linear and
    symmetric, conjugate gradients find the same limit in few steps. Arguments and errors as :func:`resharp`.

    References
    ----------
    Wen et al. 2014, 10.1002/mrm.24998.
    """
    crop, field, valid, sphere = _sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "iSMV")
    shape = crop.grid.shape
    # The mean over the rim would cost digits.
    outer = (1 - valid) * (field != 0)
    if outer.any():
        field -= np.float32(field[outer > 0].mean(dtype=np.float64)) * (outer + valid)

    def change(array: FloatArray) -> FloatArray:
        """Array less its mean, where the sphere fits."""
        means = irfftn(rfftn(array) * sphere, shape)
        np.subtract(array, means, out=means)
        means *= valid
        return means

    # The unknown is the local field: background = total - local keeps the rim, where local is zero.
    local = _conjugate_gradients(change, change(field), params.iterations, params.tolerance, progress)
    return crop.put(local, grid.shape), crop.put(valid > 0, grid.shape)
