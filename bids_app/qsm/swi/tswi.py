"""Susceptibility-weighted imaging by a mask of the susceptibility map instead of the phase (tSWI)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.method import Method, SwiMethod
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Swi
from bids_app.qsm.swi.weighting import checked_map, finite_magnitude, with_projection


@dataclass(frozen=True)
class TswiParams(Params):
    """Parameters of susceptibility-based weighting."""

    lower: float = param(0.0, low=-1.0, high=1.0, unit="ppm", doc="Susceptibility up to which nothing is weighted")
    upper: float = param(0.45, low=0.01, high=5.0, unit="ppm", doc="Susceptibility from which the signal is 0")
    power: int = param(2, low=1, high=16, doc="How often the mask is multiplied")
    even: float = param(0.0, low=0.0, high=200.0, unit="mm", doc="Width of the local mean of the magnitude (0: raw)")
    thickness: float = param(7.0, low=0.1, high=200.0, unit="mm", doc="Slab of the minimum-intensity projection")


def true_swi(
    field_hz: FloatArray,
    magnitude: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TswiParams = TswiParams(),
    echo_time: float | None = None,
    chi_ppm: FloatArray | None = None,
) -> Swi:
    """Make a susceptibility-weighted image from the susceptibility map (tSWI).

    The magnitude is multiplied by W^n with W = 1 below the lower threshold, 0 above the upper one, and a straight
    line between them. Phase depends on a vein's direction and spreads beyond it; susceptibility does neither.

    Parameters
    ----------
    field_hz : float32, ``grid.shape``
        Not used.
    magnitude : float32, ``grid.shape``
        Magnitude of one echo, or combined over echoes.
    mask : bool, ``grid.shape``
        Where the susceptibility is known; the magnitude elsewhere stays as it is.
    grid : Grid
        Voxel size; slabs are stacked along the third axis.
    params : TswiParams
        Thresholds in ppm, power of the mask, width of the even brightness and slab in mm.
    echo_time : float, optional
        Not used.
    chi_ppm : float32, ``grid.shape``
        Susceptibility in ppm; the method cannot do without it.

    Returns
    -------
    Swi
        Weighted image and its minimum-intensity projection, ``grid.shape``, in units of the magnitude.

    Raises
    ------
    ValueError
        If there is no susceptibility map, shapes differ, or the upper threshold is not above the lower one.

    References
    ----------
    Liu et al. 2014, 10.1002/jmri.24413.
    """
    if params.upper <= params.lower:
        raise ValueError(f"swi.tswi.upper ({params.upper} ppm) must be above swi.tswi.lower ({params.lower} ppm)")
    mask = checked_mask(mask, grid)
    chi = checked_map(chi_ppm, magnitude, mask, grid)
    weight = np.clip((params.upper - chi) / np.float32(params.upper - params.lower), 0, 1)
    weight[~mask] = 1
    image = finite_magnitude(magnitude, params.even, grid) * weight**params.power
    return with_projection(image, mask, grid, params.thickness)


TSWI: SwiMethod[TswiParams] = Method(
    name="tswi",
    kind="swi",
    label="tSWI",
    function=true_swi,
    params=TswiParams,
    sentence="Susceptibility-weighted images were made by tSWI from the susceptibility map [liu2014]{parameters}.",
    uses=frozenset({"magnitude"}),
    needs=("chi",),
)
