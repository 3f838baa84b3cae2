"""Susceptibility-weighted imaging from the field of all echoes, and its minimum-intensity projection."""

from dataclasses import dataclass

import numpy as np
from numba import prange

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.kernels import jit
from bids_app.qsm.method import Method, SwiMethod
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Swi
from bids_app.qsm.swi.weighting import finite_magnitude, with_projection

#: Percentile of the positive high-pass field that veins reach and little else does.
_STRONG = 97


@dataclass(frozen=True)
class SwiParams(Params):
    """Parameters of susceptibility-weighted imaging."""

    high_pass: float = param(
        4.0, low=0.5, high=50.0, unit="mm", doc="Gaussian whose local mean is subtracted from the field"
    )
    power: int = param(4, low=1, high=16, doc="How often the phase mask is multiplied")
    even: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Width of the local mean of the magnitude (0: raw)")
    thickness: float = param(7.0, low=0.1, high=200.0, unit="mm", doc="Slab of the minimum-intensity projection")


@jit(parallel=True)
def _weigh(magnitude, field, typical, power, mask):  # type: ignore[no-untyped-def]
    """Multiply the magnitude by the phase mask, in place."""
    largest = np.tanh(np.float32(1))
    for v in prange(magnitude.size):
        if mask[v] and field[v] > 0:
            w = (1 + np.tanh(1 - field[v] / typical)) / (1 + largest)
            magnitude[v] *= w**power


def clear_swi(
    field_hz: FloatArray,
    magnitude: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: SwiParams = SwiParams(),
    echo_time: float | None = None,
    chi_ppm: FloatArray | None = None,
) -> Swi:
    """Make a susceptibility-weighted image in the manner of CLEAR-SWI.

    The combined magnitude without the receive sensitivity is multiplied by a smooth mask of the field's
    positive high-pass part: 1 at 0 and falling like a hyperbolic tangent on the scale of a high percentile of its
    positive values, so that neither echo times nor field strength must be known. The field of all echoes takes the
    place of the phase of one, which has wraps and less signal.

    Parameters
    ----------
    field_hz : float32, ``grid.shape``
        Total field in Hz, positive in veins along B0.
    magnitude : float32, ``grid.shape``
        Magnitude combined over echoes.
    mask : bool, ``grid.shape``
        Where the field is known; the magnitude elsewhere stays as it is.
    grid : Grid
        Voxel size; slabs are stacked along the third axis.
    params : SwiParams
        Widths of the filters, power of the mask, and slab of the minimum-intensity projection.
    echo_time : float, optional
        Not used: the phase mask has no unit.
    chi_ppm : float32, ``grid.shape``, optional
        Not used.

    Returns
    -------
    Swi
        Weighted image and its minimum intensity projection, ``grid.shape``, in units of the magnitude.

    Raises
    ------
    ValueError
        If shapes differ.

    References
    ----------
    Eckstein et al. 2021, 10.1016/j.neuroimage.2021.118175; Haacke et al. 2004, 10.1002/mrm.20198.
    """
    mask = checked_mask(mask, grid, field=field_hz, magnitude=magnitude)
    bright = finite_magnitude(magnitude, params.even, grid)
    inside = mask & np.isfinite(field_hz)
    sigma = [params.high_pass / size for size in grid.voxel_size]
    field = np.where(inside, field_hz, np.float32(0))
    field -= mean_of_known(field, inside, sigma)
    positive = field[inside & (field > 0)]
    typical = np.float32(np.percentile(positive, _STRONG)) if positive.size else np.float32(0)
    if typical > 0:
        _weigh(bright.reshape(-1), field.reshape(-1), typical, params.power, inside.reshape(-1))
    return with_projection(bright, inside, grid, params.thickness)


CLEARSWI: SwiMethod[SwiParams] = Method(
    name="clearswi",
    kind="swi",
    label="CLEAR-SWI",
    function=clear_swi,
    params=SwiParams,
    sentence="Susceptibility-weighted images were made by CLEAR-SWI [eckstein2021]{parameters}.",
    uses=frozenset({"magnitude"}),
)
