"""What every separation method takes and returns, and the relaxometric constants with their sources."""

from dataclasses import dataclass

import numpy as np

from bids_app.errors import ParameterError
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask

#: R2' per ppm at 3 T (Hz/ppm), measured in deep grey matter: Shin et al. 2021, 10.1016/j.neuroimage.2021.118371.
R2PRIME_PER_PPM = 137.0
#: R2* per ppm at 3 T (Hz/ppm): Dimov et al. 2022, 10.1111/jon.13014.
R2STAR_PER_PPM = 274.0
#: R2' per ppm and tesla in the static dephasing limit: spheres 2 pi gamma / (9 sqrt 3), cylinders across the field
#: gamma / 2; Yablonskiy and Haacke 1994, 10.1002/mrm.1910320610.
SPHERES_PER_PPM_T, CYLINDERS_PER_PPM_T = 107.84, 133.77
#: R2' of cylinders across the field over that of spheres of the same susceptibility and volume.
CYLINDERS_OVER_SPHERES = CYLINDERS_PER_PPM_T / SPHERES_PER_PPM_T
#: Field strength (T) at which the settings state relaxometric constants.
REFERENCE_T = 3.0
#: Inputs by the name that a message gives them.
INPUTS = {
    "local_field": "a local field map",
    "chi": "a susceptibility map",
    "r2prime": "an R2' map (from multi-echo spin echo, MESE, and multi-echo gradient echo)",
    "r2star": "an R2* map (from multi-echo gradient echo)",
    "r2": "an R2 map (from multi-echo spin echo, MESE)",
    "echoes": "the magnitude of three or more gradient echoes",
}


@dataclass(frozen=True)
class SeparationData:
    """The maps that a separation uses; all arrays are float32 ``[x, y, z]`` of ``grid.shape``, those not known None.

    Parameters
    ----------
    grid : Grid
        Sampling of the maps.
    mask : bool, ``[x, y, z]``
        Where the maps are valid.
    field_strength : float
        Main field in T.
    local_field : float32, optional
        Local field in ppm, after background removal.
    chi : float32, optional
        Susceptibility in ppm; its zero is that of the result. Without it the methods invert the local field.
    r2prime, r2prime_sd : float32, optional
        R2' and its standard deviation in 1/s.
    r2prime_mask : bool, optional
        Where R2' is valid; default: the mask.
    r2star, r2 : float32, optional
        R2* and R2 in 1/s.
    magnitude : float32, ``[echo, x, y, z]``, optional
        Magnitude of the gradient echoes, with ``echo_times`` in s.
    weights : float32, optional
        Relative reliability of the local field.
    fibre_angle : float32, optional
        Angle between fibres and main field in rad, for example from diffusion imaging; not finite where unknown.
    white_matter : float32, optional
        Fraction of white matter in each voxel, 0 to 1, for example from a segmentation.
    """

    grid: Grid
    mask: BoolArray
    field_strength: float
    local_field: FloatArray | None = None
    chi: FloatArray | None = None
    r2prime: FloatArray | None = None
    r2prime_sd: FloatArray | None = None
    r2prime_mask: BoolArray | None = None
    r2star: FloatArray | None = None
    r2: FloatArray | None = None
    magnitude: FloatArray | None = None
    echo_times: tuple[float, ...] = ()
    weights: FloatArray | None = None
    fibre_angle: FloatArray | None = None
    white_matter: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", checked_mask(self.mask, self.grid))
        if not self.mask.any():
            raise ValueError("the mask is empty: there is nothing to compute")
        if not (np.isfinite(self.field_strength) and self.field_strength > 0):
            raise ValueError(f"field strength must be a positive number of tesla, got {self.field_strength}")
        for name in ("local_field", "chi", "r2prime", "r2prime_sd", "r2prime_mask", "r2star", "r2", "weights"):
            self._check(name)
        self._check("fibre_angle")
        self._check("white_matter")
        if self.magnitude is not None and self.magnitude.shape != (len(self.echo_times), *self.grid.shape):
            raise ValueError(f"magnitude {self.magnitude.shape} does not match {len(self.echo_times)} echo times")

    def _check(self, name: str) -> None:
        array = getattr(self, name)
        if array is not None and array.shape != self.grid.shape:
            raise ValueError(f"{name} has shape {array.shape}, the grid {self.grid.shape}")

    def require(self, *names: str) -> None:
        """Raise ParameterError that names every map of ``names`` that is missing."""
        have = {name: getattr(self, "magnitude" if name == "echoes" else name) is not None for name in names}
        have["echoes"] = self.magnitude is not None and len(self.echo_times) > 2
        missing = [INPUTS[name] for name in names if not have[name]]
        if missing:
            raise ParameterError(f"this separation needs {' and '.join(missing)}")

    def clean(self, name: str) -> FloatArray:
        """Return a map with zeros outside the mask and where it is not finite."""
        array = getattr(self, name)
        return np.where(self.mask & np.isfinite(array), array, np.float32(0)).astype(np.float32, copy=False)

    @property
    def valid(self) -> BoolArray:
        """Where R2' counts."""
        inside = self.mask if self.r2prime_mask is None else self.mask & self.r2prime_mask
        return inside & np.isfinite(self.r2prime) if self.r2prime is not None else inside


def at_field(constant: float, field_strength: float) -> float:
    """Return a relaxometric constant (Hz/ppm), stated at 3 T, at another field strength (T): both are proportional.

    Examples
    --------
    >>> at_field(137.0, 7.0)
    319.6666666666667
    """
    return constant * field_strength / REFERENCE_T


def separated(chi: FloatArray, magnitude: FloatArray, mask: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return (m + chi) / 2 clipped to 0 or more and (chi - m) / 2 clipped to 0 or less, zero outside the mask."""
    zero = np.float32(0)
    positive = np.where(mask, np.maximum((magnitude + chi) / 2, zero), zero)
    negative = np.where(mask, np.minimum((chi - magnitude) / 2, zero), zero)
    return positive.astype(np.float32, copy=False), negative.astype(np.float32, copy=False)
