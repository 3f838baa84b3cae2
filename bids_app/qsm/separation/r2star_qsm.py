"""Separation from gradient echoes alone: R2* stands for R2'."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Method, Separation
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Sources
from bids_app.qsm.separation.sources import R2STAR_PER_PPM, SeparationData, at_field, separated
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class R2starQsmParams(Params):
    """Parameters of R2*-QSM."""

    relaxivity: float = param(
        R2STAR_PER_PPM, low=1.0, high=5000.0, unit="Hz/ppm", doc="R2* per ppm at 3 T, of both kinds of sources"
    )


def r2star_qsm(
    data: SeparationData,
    *,
    params: R2starQsmParams = R2starQsmParams(),
    progress: Progress | None = None,
    info: Info | None = None,
) -> Sources:
    """Separate susceptibility and R2* voxel by voxel: R2* = r (chi+ + abs(chi-)), chi = chi+ + chi-.

    R2* holds R2 too. The method assumes that R2 is proportional to R2', which holds roughly in the brain and not in
    fluid, oedema or lesions; r = 274 Hz/ppm at 3 T and is proportional to the main field. It needs no spin echo.

    Parameters
    ----------
    data : SeparationData
        Needs ``chi`` (ppm) and ``r2star`` (1/s).
    params : R2starQsmParams
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
    Dimov et al. 2022, 10.1111/jon.13014 and 10.3390/tomography8030127.
    """
    data.require("chi", "r2star")
    chi, rate = data.clean("chi"), data.clean("r2star")
    relaxivity = np.float32(at_field(params.relaxivity, data.field_strength))
    note(info, relaxivity=float(relaxivity), relaxivity_source="constant")
    positive, negative = separated(chi, rate / relaxivity, data.mask)
    left = np.where(data.mask, rate - relaxivity * (positive - negative), np.float32(0))
    return Sources(positive, negative, left.astype(np.float32))


R2STAR_QSM: Separation[R2starQsmParams] = Method(
    name="r2star_qsm",
    kind="separation",
    label="R2*-QSM",
    function=r2star_qsm,
    params=R2starQsmParams,
    sentence=(
        "Paramagnetic and diamagnetic susceptibility were computed from the susceptibility map and R2* "
        "[dimov2022]{parameters}."
    ),
    needs=("chi", "r2star"),
)
