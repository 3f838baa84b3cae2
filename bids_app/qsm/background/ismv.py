"""Background removal by iterated spherical mean values (iSMV)."""

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
class IsmvParams(Params):
    """Parameters of iSMV."""

    radius: float = param(5.0, low=1.0, high=40.0, unit="mm", doc="Radius of the sphere")
    iterations: int = param(500, low=1, high=5000, doc="Most iterations")
    tolerance: float = param(1e-6, low=0.0, high=1.0, doc="Change of the background, relative to the first, that ends")


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
    symmetric, conjugate gradients find the same limit in few steps. Arguments and errors as
    :func:`bids_app.qsm.background.resharp.resharp`.

    References
    ----------
    Wen et al. 2014, 10.1002/mrm.24998.
    """
    crop, field, valid, sphere = sphere_problem(total_field_ppm, mask, grid, weights, params.radius, "iSMV")
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
    local = conjugate_gradients(change, change(field), params.iterations, params.tolerance, progress)
    return crop.put(local, grid.shape), crop.put(valid > 0, grid.shape)


ISMV: Background[IsmvParams] = Method(
    name="ismv",
    kind="background",
    label="iSMV",
    function=ismv,
    params=IsmvParams,
    sentence=("The background field was removed by the iterative spherical mean value method [wen2014]{parameters}."),
)
