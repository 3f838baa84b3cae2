"""Separation in closed form: two equations, two unknowns in every voxel."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.method import Method, Separation
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.calibration import relaxivity_of
from bids_app.qsm.separation.sources import R2PRIME_PER_PPM, SeparationData, separated
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class ClosedFormParams(Params):
    """Parameters of the separation in closed form."""

    relaxivity: float = param(
        R2PRIME_PER_PPM, low=1.0, high=5000.0, unit="Hz/ppm", doc="R2' per ppm at 3 T, of both kinds of sources"
    )
    calibrate: bool = param(False, doc="Estimate the relaxivity from iron-rich voxels instead")


def closed_form(
    data: SeparationData,
    *,
    params: ClosedFormParams = ClosedFormParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate susceptibility and R2' voxel by voxel: chi+ = (R2'/Dr + chi)/2, chi- = (chi - R2'/Dr)/2.

    This solves R2' = Dr (chi+ + abs(chi-)) and chi = chi+ + chi-; each source is clipped to its sign. Noise of R2'
    enters both sources with a weight of one half, and a voxel where R2' is not valid is treated as if it held one kind
    alone.

    Parameters
    ----------
    data : SeparationData
        Needs ``chi`` (ppm) and ``r2prime`` (1/s).
    params : ClosedFormParams
    progress : callable, optional
        Not used.
    info : dict, optional
        Receives the relaxivity.

    Returns
    -------
    Sources

    Raises
    ------
    ParameterError
        If a map is missing.

    References
    ----------
    Shin et al. 2021, 10.1016/j.neuroimage.2021.118371.
    """
    data.require("chi", "r2prime")
    chi, rate, valid = data.clean("chi"), data.clean("r2prime"), data.valid
    relaxivity = np.float32(relaxivity_of(data, chi, rate, params.relaxivity, params.calibrate, info))
    total = np.where(valid, rate / relaxivity, np.abs(chi))
    positive, negative = separated(chi, total, data.mask)
    left = np.where(valid, rate - relaxivity * (positive - negative), np.float32(0))
    return Sources(positive, negative, left.astype(np.float32))


CLOSED_FORM: Separation[ClosedFormParams] = Method(
    name="closed_form",
    kind="separation",
    label="Closed form",
    function=closed_form,
    params=ClosedFormParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were computed in closed form from the susceptibility map and R2' "
        "[shin2021]{parameters}."
    ),
    needs=("chi", "r2prime"),
)
