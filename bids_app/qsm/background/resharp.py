"""Background removal by regularised SHARP (RESHARP)."""

from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.smv import sphere_problem
from bids_app.qsm.device import to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.cg import solve_symmetric


@dataclass(frozen=True)
class ResharpParams(Params):
    """Parameters of RESHARP."""

    radius: float = param(6.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    regularisation: float = param(1e-4, low=0.0, high=1.0, doc="Tikhonov weight of the local field (lambda)")
    iterations: int = param(60, low=1, high=2000, doc="Maximum number of conjugate-gradient iterations")
    tolerance: float = param(1e-3, low=0.0, high=1.0, doc="Residual of the normal equations, relative, that ends them")


def resharp(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: ResharpParams = ResharpParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by regularised SHARP (RESHARP).

    Minimises ||M (1 - S) (local - total)||^2 + lambda ||local||^2 by conjugate gradients, where S is the mean over
    a sphere and M the voxels around which it fits: of all local fields that explain the difference of the field and
    its mean, the smallest.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : ResharpParams
        Radius in mm, regularisation, stopping rule.
    weights : float32, ``grid.shape``, optional
        The method does not weight the data, but where the weight is 0 at the boundary, the object ends.
    progress : callable, optional
        Called as ``progress(done, total)`` after each iteration.

    Returns
    -------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm, zero outside the returned mask.
    mask : bool, ``grid.shape``
        Voxels around which the sphere fits.

    Raises
    ------
    ValueError
        If the mask is empty or too thin, or the shapes differ.

    References
    ----------
    Sun & Wilman 2014, 10.1002/mrm.24765.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = resharp(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 0.1)
    True
    """
    crop, field, valid, sphere = sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "RESHARP")
    field, inside, sphere = to_device(field), to_device(valid), sphere.on_device()

    def normal(array: FloatArray) -> FloatArray:
        part = sphere.high_pass(array)
        part *= inside
        return sphere.high_pass(part)

    ridge = params.regularisation
    local = solve_symmetric(
        lambda a: normal(a) + ridge * a, normal(field), params.iterations, params.tolerance, progress
    )
    local *= inside
    return crop.put(to_host(local), grid.shape), crop.put(valid > 0, grid.shape)


RESHARP: Background[ResharpParams] = Method(
    name="resharp",
    kind="background",
    label="RESHARP",
    function=resharp,
    params=ResharpParams,
    sentence="The background field was removed by RESHARP [sun2014]{parameters}.",
    on_device=True,
)
