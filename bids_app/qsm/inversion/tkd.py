"""Thresholded k-space division."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import to_device, to_host
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.method import Inversion, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.params import Params, param
from bids_app.qsm.signatures import Info, Progress


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
    progress: Progress | None = None,
    info: Info | None = None,
) -> FloatArray:
    """Estimate susceptibility by thresholded k-space division (TKD).

    chi(k) = f(k) sign(D(k)) / max(|D(k)|, threshold), where D is the dipole response. Where D is small, the
    division is limited, which leaves noise and streaks bounded and underestimates chi; ``correct_bias`` divides by
    the share that a point source keeps.

    Parameters
    ----------
    local_field_ppm : float32, ``grid.shape``
        Local field in ppm.
    mask : bool, ``grid.shape``
        Where the field is known.
    grid : Grid
        Sampling and direction of B0.
    params : TkdParams
        Threshold, bias correction, and padding in mm.
    weights : float32, ``grid.shape``, optional
        Not used: all voxels count alike.
    magnitude : float32, ``grid.shape``, optional
        Not used.
    progress : callable, optional
        Not used: the solution is in closed form.
    info : dict, optional
        Receives the threshold.

    Returns
    -------
    float32, ``grid.shape``
        Susceptibility in ppm, zero outside the mask; its level is arbitrary.

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.

    References
    ----------
    Shmueli et al. 2009, 10.1002/mrm.22135; bias correction: Schweser et al. 2013, 10.1002/mrm.24405.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app.qsm.grid import Grid
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid, chi = Grid((24, 24, 24)), np.zeros((24, 24, 24), np.float32)
    >>> chi[9:15, 9:15, 9:15] = 0.1
    >>> estimate = tkd(forward_field(chi, grid), np.ones(chi.shape, bool), grid)
    >>> bool(estimate[chi > 0].mean() - estimate[chi == 0].mean() > 0.05)
    True
    """
    mask = checked_mask(mask, grid, field=local_field_ppm) & np.isfinite(local_field_ppm)
    crop = Crop.around(mask, grid, params.padding)
    kernel = dipole_kernel(crop.grid)
    note(info, threshold=params.threshold)
    inverse = np.where(kernel < 0, np.float32(-1), np.float32(1)) / np.maximum(np.abs(kernel), params.threshold)
    if params.correct_bias:
        # The mean of D times its truncated inverse over k-space is the share of a point source that is recovered.
        inverse /= np.float32(np.mean(kernel * inverse))
    inverse[0, 0, 0] = 0
    spectrum = rfftn(to_device(crop.take_clean(local_field_ppm, mask)))
    spectrum *= to_device(inverse.astype(np.float32))
    chi = to_host(irfftn(spectrum, crop.grid.shape)) * crop.take(mask)
    return crop.put(chi, grid.shape)


TKD: Inversion[TkdParams] = Method(
    name="tkd",
    kind="inversion",
    label="TKD",
    function=tkd,
    params=TkdParams,
    sentence=("Susceptibility was estimated by thresholded k-space division [shmueli2009; schweser2013]{parameters}."),
    on_device=True,
)
