"""The relaxometric constant of paramagnetic sources, estimated from the data in iron-rich tissue."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.problem import note
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.separation.sources import SeparationData, at_field
from bids_app.qsm.signatures import Info

#: Smoothing before the line is fitted, mm; distance from the mask's edge, mm.
_SMOOTHING_MM, _EDGE_MM = 1.5, 4.0
#: Fewest independent samples, and fewest of them within the surfaces that make the surfaces dispensable.
_MIN_SAMPLES, _MIN_INTERIOR = 30, 15
#: A standard deviation above this share of the constant makes the estimate worthless.
_MAX_RELATIVE_SD = 0.25


@dataclass(frozen=True)
class Relaxivity:
    """R2' per ppm of paramagnetic susceptibility (Hz/ppm) with its standard deviation, and the line's offset (1/s).

    ``samples`` is the number of voxels over that of correlated ones; 0: the estimate was not possible.
    """

    value: float
    sd: float
    offset: float
    samples: float


def estimate_relaxivity(
    chi: FloatArray,
    r2prime: FloatArray,
    valid: BoolArray,
    grid: Grid,
    *,
    region: BoolArray | None = None,
    chi_min: float = 0.05,
) -> Relaxivity:
    """Estimate R2' per ppm from the line R2' = a + Dr chi through strongly paramagnetic voxels.

    With R2' = Dr (chi+ + abs(chi-)) and chi = chi+ + chi-, R2' = Dr chi + 2 Dr abs(chi-): the slope is Dr where the
    diamagnetic part does not change along with iron. At the surface of a nucleus it does, since white matter is mixed
    in, and the slope comes out too low. So the outermost voxels of the region are left out where enough remain and give
    a line. Both maps are smoothed first; outliers are down-weighted (Huber).

    Parameters
    ----------
    chi, r2prime : float32, ``[x, y, z]``
        Susceptibility in ppm and R2' in 1/s.
    valid : bool, ``[x, y, z]``
        Where both are valid.
    grid : Grid
        Sampling of the maps.
    region : bool, ``[x, y, z]``, optional
        Deep grey matter. Without it: voxels above ``chi_min`` ppm, away from the edge of ``valid``.
    chi_min : float
        Least susceptibility in ppm of a voxel that counts where no region is given.

    Returns
    -------
    Relaxivity

    References
    ----------
    Shin et al. 2021, 10.1016/j.neuroimage.2021.118371 (R2' against susceptibility in deep grey matter); Huber 1964,
    10.1214/aoms/1177703732.
    """
    sigma = [_SMOOTHING_MM / size for size in grid.voxel_size]
    smooth_chi = mean_of_known(np.where(valid, chi, np.float32(0)), valid, sigma)
    smooth_rate = mean_of_known(np.where(valid, r2prime, np.float32(0)), valid, sigma)
    if region is None:
        core = ndimage.distance_transform_edt(valid, grid.voxel_size) > _EDGE_MM
        region = core & (smooth_chi > chi_min)
    chosen = region & valid
    correlated = max((4 * np.pi) ** 1.5 * _SMOOTHING_MM**3 / grid.voxel_volume, 1.0)
    if np.count_nonzero(chosen) < _MIN_SAMPLES * correlated:
        return Relaxivity(0.0, 0.0, 0.0, 0.0)
    interior = ndimage.binary_erosion(chosen)
    for voxels in (interior, chosen) if np.count_nonzero(interior) >= _MIN_INTERIOR * correlated else (chosen,):
        samples = float(np.count_nonzero(voxels) / correlated)
        slope, offset, sd = _huber_line(
            smooth_chi[voxels].astype(np.float64), smooth_rate[voxels].astype(np.float64), samples
        )
        if slope > 0 and sd <= _MAX_RELATIVE_SD * slope:
            return Relaxivity(slope, sd, offset, samples)
    return Relaxivity(0.0, 0.0, 0.0, 0.0)


def _huber_line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], samples: float) -> tuple[float, float, float]:
    """Return slope, offset and the slope's standard deviation of a robust line."""
    weight = np.ones_like(x)
    slope = offset = sd = 0.0
    for _ in range(12):
        total = weight.sum()
        mx, my = (weight @ x) / total, (weight @ y) / total
        spread = float(weight @ (x - mx) ** 2)
        slope = float(weight @ ((x - mx) * (y - my))) / spread if spread > 0 else 0.0
        offset = float(my - slope * mx)
        left = y - offset - slope * x
        scale = 1.4826 * float(np.median(np.abs(left)))
        if scale == 0 or spread <= 0:
            return slope, offset, 0.0
        weight = np.minimum(1.0, 1.345 * scale / np.maximum(np.abs(left), 1e-12))
        variance = float(weight @ left**2) / total
        sd = float(np.sqrt(variance / (spread / total) / max(samples - 2, 1)))
    return slope, offset, sd


def relaxivity_of(
    data: SeparationData, chi: FloatArray, rate: FloatArray, constant: float, calibrate: bool, info: Info | None
) -> float:
    """Return R2' per ppm (Hz/ppm) at the data's field: estimated where asked for and possible, else the constant.

    ``constant`` is stated at 3 T. ``info`` receives the value, its standard deviation and where it comes from.
    """
    fixed = at_field(constant, data.field_strength)
    if calibrate:
        estimate = estimate_relaxivity(chi, rate, data.valid, data.grid)
        if estimate.samples:
            note(info, relaxivity=estimate.value, relaxivity_sd=estimate.sd, relaxivity_source="data")
            return estimate.value
        note(info, relaxivity=fixed, relaxivity_source="constant: too little iron-rich tissue to estimate it")
        return fixed
    note(info, relaxivity=fixed, relaxivity_source="constant")
    return fixed
