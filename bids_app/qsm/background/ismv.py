"""Background removal by iterated spherical mean values (iSMV)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.smv import sphere_problem
from bids_app.qsm.device import to_device, to_host
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Background, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Progress
from bids_app.qsm.solvers.cg import solve_symmetric


@dataclass(frozen=True)
class IsmvParams(Params):
    """Parameters of iSMV."""

    radius: float = param(5.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    iterations: int = param(500, low=1, high=5000, doc="Maximum number of iterations")
    tolerance: float = param(1e-6, low=0.0, high=1.0, doc="Change of the background, relative to the first, that ends")


def ismv(
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: IsmvParams = IsmvParams(),
    weights: FloatArray | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Remove the background field by iterated spherical mean values (iSMV).

    The background equals its own spherical means where the sphere fits, b = S b, and the total field on the rest of
    the mask. Repeated replacement by the mean leads there slowly; since that map is linear and symmetric, conjugate
    gradients find the same limit in few steps.

    Parameters
    ----------
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling and direction of B0.
    params : IsmvParams
        Radius in mm and stopping rule.
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
    Wen et al. 2014, 10.1002/mrm.24998.

    Examples
    --------
    A background that is linear in space is harmonic:

    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> grid = Grid((24, 24, 24))
    >>> x, y, z = np.indices(grid.shape, np.float32) - 12
    >>> local, valid = ismv(z, x**2 + y**2 + z**2 < 100, grid)
    >>> bool(np.abs(local[valid]).max() < 0.1)
    True
    """
    crop, field, valid, sphere = sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "iSMV")
    # The mean over the boundary would cost digits.
    outer = (1 - valid) * (field != 0)
    if outer.any():
        field -= np.float32(field[outer > 0].mean(dtype=np.float64)) * (outer + valid)

    field, minus_valid, sphere = to_device(field), to_device(-valid), sphere.on_device()

    def change(array: FloatArray) -> FloatArray:
        """Array less its mean, where the sphere fits."""
        means = sphere.mean(array)
        means -= array
        means *= minus_valid
        return means

    # The unknown is the local field: background = total - local keeps the boundary, where local is zero.
    local = solve_symmetric(change, change(field), params.iterations, params.tolerance, progress)
    return crop.put(to_host(local), grid.shape), crop.put(valid > 0, grid.shape)


ISMV: Background[IsmvParams] = Method(
    name="ismv",
    kind="background",
    label="iSMV",
    function=ismv,
    params=IsmvParams,
    sentence=("The background field was removed by the iterative spherical mean value method [wen2014]{parameters}."),
    on_device=True,
)
