"""Thresholded k-space division."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class TkdParams(Params):
    """Parameters of thresholded k-space division."""

    threshold: float = param(0.19, low=0.01, high=0.33, doc="Smallest kernel magnitude that is divided by")
    correct_bias: bool = param(True, doc="Undo the underestimation that the threshold causes")
    padding: float = param(20.0, low=0.0, high=200.0, unit="mm", doc="Empty space around the object")


def tkd(
    local_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: TkdParams = TkdParams(),
    weights: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    progress: Callable[[int, int], None] | None = None,
    info: dict[str, Any] | None = None,
) -> FloatArray:
    """Susceptibility by division in k-space, with the kernel truncated at a threshold.

    Parameters and result as in every inversion: float32 arrays of ``grid.shape``, field in ppm, chi in ppm, zero
    outside the mask. ``weights`` and ``magnitude`` are not used by this method. ``info`` receives the threshold.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Shmueli et al. 2009, 10.1002/mrm.22135; bias correction: Schweser et al. 2013, 10.1002/mrm.24405.
    """
    mask = mask & np.isfinite(local_field_ppm)
    crop = Crop.around(mask, grid, params.padding)
    kernel = dipole_kernel(crop.grid)
    note(info, threshold=params.threshold)
    inverse = np.where(kernel < 0, np.float32(-1), np.float32(1)) / np.maximum(np.abs(kernel), params.threshold)
    if params.correct_bias:
        # The mean of D times its truncated inverse over k-space is the share of a point source that is recovered.
        inverse /= np.float32(np.mean(kernel * inverse))
    inverse[0, 0, 0] = 0
    spectrum = rfftn(crop.take_clean(local_field_ppm, mask))
    spectrum *= inverse.astype(np.float32)
    chi = irfftn(spectrum, crop.grid.shape) * crop.take(mask)
    return crop.put(chi, grid.shape)


TKD: Inversion[TkdParams] = Method(
    name="tkd",
    kind="inversion",
    label="TKD",
    function=tkd,
    params=TkdParams,
    sentence=("Susceptibility was estimated by thresholded k-space division [shmueli2009; schweser2013]{parameters}."),
)
