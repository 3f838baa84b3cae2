"""Background removal by regularised SHARP (RESHARP)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.smv import conjugate_gradients, sphere_problem
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class ResharpParams(Params):
    """Parameters of RESHARP."""

    radius: float = param(6.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    regularisation: float = param(1e-4, low=0.0, high=1.0, doc="Tikhonov weight of the local field (lambda)")
    iterations: int = param(60, low=1, high=2000, doc="Most conjugate-gradient iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Residual of the normal equations, relative, that ends them")


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
    crop, field, valid, sphere = sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "RESHARP")
    high_pass, shape = 1 - sphere, crop.grid.shape

    def normal(array: FloatArray) -> FloatArray:
        part = irfftn(rfftn(array) * high_pass, shape)
        part *= valid
        return irfftn(rfftn(part) * high_pass, shape)

    ridge = np.float32(params.regularisation)
    local = conjugate_gradients(
        lambda a: normal(a) + ridge * a, normal(field), params.iterations, params.tolerance, progress
    )
    local *= valid
    return crop.put(local, grid.shape), crop.put(valid > 0, grid.shape)


RESHARP: Background[ResharpParams] = Method(
    name="resharp",
    kind="background",
    label="RESHARP",
    function=resharp,
    params=ResharpParams,
    sentence="The background field was removed by RESHARP [sun2014]{parameters}.",
)
