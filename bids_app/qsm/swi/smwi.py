"""Susceptibility map-weighted imaging (SMWI)."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.method import Method, SwiMethod
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Swi
from bids_app.qsm.swi.weighting import checked_map, finite_magnitude, with_projection


@dataclass(frozen=True)
class SmwiParams(Params):
    """Parameters of susceptibility map-weighted imaging."""

    source: str = param(
        "paramagnetic", choices=("paramagnetic", "diamagnetic"), doc="Which susceptibility makes the image dark"
    )
    threshold: float = param(1.0, low=0.01, high=10.0, unit="ppm", doc="Susceptibility from which the signal is 0")
    power: int = param(4, low=1, high=16, doc="How often the mask is multiplied")
    even: float = param(0.0, low=0.0, high=200.0, unit="mm", doc="Width of the local mean of the magnitude (0: raw)")
    thickness: float = param(7.0, low=0.1, high=200.0, unit="mm", doc="Slab of the minimum-intensity projection")


def smwi(
    field_hz: FloatArray,
    magnitude: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: SmwiParams = SmwiParams(),
    echo_time: float | None = None,
    chi_ppm: FloatArray | None = None,
) -> Swi:
    """Make a susceptibility map-weighted image (SMWI).

    The magnitude, combined over echoes, is multiplied by S^m with S = 1 - chi / threshold between 0 and the threshold,
    1 below and 0 above it. For diamagnetic sources the sign of chi is inverted.

    Parameters
    ----------
    field_hz : float32, ``grid.shape``
        Not used.
    magnitude : float32, ``grid.shape``
        Magnitude combined over echoes, or of one echo.
    mask : bool, ``grid.shape``
        Where the susceptibility is known; the magnitude elsewhere stays as it is.
    grid : Grid
        Voxel size; slabs are stacked along the third axis.
    params : SmwiParams
        Sign of the sources, threshold in ppm, power of the mask, width of the even brightness and slab in mm.
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
        If there is no susceptibility map, or shapes differ.

    References
    ----------
    Gho et al. 2014, 10.1002/mrm.24920.
    """
    mask = checked_mask(mask, grid)
    chi = checked_map(chi_ppm, magnitude, mask, grid)
    sign = np.float32(1 if params.source == "paramagnetic" else -1)
    weight = np.clip(1 - sign * chi / np.float32(params.threshold), 0, 1)
    image = finite_magnitude(magnitude, params.even, grid) * weight**params.power
    return with_projection(image, mask, grid, params.thickness)


SMWI: SwiMethod[SmwiParams] = Method(
    name="smwi",
    kind="swi",
    label="SMWI",
    function=smwi,
    params=SmwiParams,
    sentence="Susceptibility map-weighted images were made by SMWI [gho2014]{parameters}.",
    uses=frozenset({"magnitude"}),
    needs=("chi",),
)
