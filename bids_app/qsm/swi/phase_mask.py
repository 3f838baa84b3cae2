"""Susceptibility-weighted imaging by a mask of the high-pass phase at one echo time."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.method import Method, SwiMethod
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import Swi
from bids_app.qsm.swi.weighting import finite_magnitude, with_projection


@dataclass(frozen=True)
class PhaseMaskParams(Params):
    """Parameters of susceptibility-weighted imaging by a phase mask."""

    shape: str = param(
        "positive",
        choices=("positive", "negative", "triangular", "sigmoid"),
        doc="Phase that makes the image dark; triangular: both signs; sigmoid: positive, with a smooth edge",
    )
    high_pass: float = param(4.0, low=0.5, high=50.0, unit="mm", doc="Gaussian whose local mean the phase loses")
    echo_time: float = param(0.0, low=0.0, high=200.0, unit="ms", doc="Echo time of the phase; 0: of the magnitude")
    power: int = param(4, low=1, high=16, doc="How often the phase mask is multiplied")
    even: float = param(0.0, low=0.0, high=200.0, unit="mm", doc="Width of the local mean of the magnitude (0: raw)")
    thickness: float = param(7.0, low=0.1, high=200.0, unit="mm", doc="Slab of the minimum-intensity projection")


def _mask_of(phase: FloatArray, shape: str) -> FloatArray:
    """Return the phase mask, 0 to 1, of high-pass phase in rad, -pi to pi."""
    part = phase / np.float32(np.pi)
    if shape == "sigmoid":
        # 0.5 at pi / 2; the slope there is that of the straight masks times four.
        return np.asarray(np.where(part > 0, 1 / (1 + np.exp(16 * (part - 0.5))), 1), np.float32)
    dark = {"positive": part, "negative": -part, "triangular": np.abs(part)}[shape]
    return np.clip(1 - dark, 0, 1)


def phase_mask_swi(
    field_hz: FloatArray,
    magnitude: FloatArray,
    mask: BoolArray,
    grid: Grid,
    *,
    params: PhaseMaskParams = PhaseMaskParams(),
    echo_time: float | None = None,
    chi_ppm: FloatArray | None = None,
) -> Swi:
    """Make a susceptibility-weighted image by a mask of the high-pass phase.

    The phase of one echo is 2 pi times field times echo time. As in homodyne filtering, the complex signal of this
    phase is divided by its local mean, which removes slow changes and leaves -pi to pi. The magnitude is multiplied by
    the n-th power of a mask: for positive phase, 1 - phase / pi where the phase is positive and 1 elsewhere.

    Parameters
    ----------
    field_hz : float32, ``grid.shape``
        Total field in Hz, positive in veins along B0.
    magnitude : float32, ``grid.shape``
        Magnitude of one echo, or combined over echoes.
    mask : bool, ``grid.shape``
        Where the field is known; the magnitude elsewhere stays as it is.
    grid : Grid
        Voxel size; slabs are stacked along the third axis.
    params : PhaseMaskParams
        Shape of the mask, widths in mm, echo time in ms, power of the mask and slab in mm.
    echo_time : float
        Echo time in s, where ``params`` has none.
    chi_ppm : float32, ``grid.shape``, optional
        Not used.

    Returns
    -------
    Swi
        Weighted image and its minimum-intensity projection, ``grid.shape``, in units of the magnitude.

    Raises
    ------
    ValueError
        If there is no echo time, or shapes differ.

    References
    ----------
    Haacke et al. 2004, 10.1002/mrm.20198.
    """
    mask = checked_mask(mask, grid, field=field_hz, magnitude=magnitude)
    time = params.echo_time / 1000 if params.echo_time > 0 else echo_time
    if time is None:
        raise ValueError("the phase mask needs an echo time: give echo_time in s, or swi.phase_mask.echo_time in ms")
    inside = mask & np.isfinite(field_hz)
    phase = np.where(inside, field_hz, np.float32(0)) * np.float32(2 * np.pi * time)
    sigma = [params.high_pass / size for size in grid.voxel_size]
    cosine, sine = np.cos(phase) * inside, np.sin(phase) * inside
    low_cosine, low_sine = (mean_of_known(part.copy(), inside, sigma) for part in (cosine, sine))
    high = np.arctan2(sine * low_cosine - cosine * low_sine, cosine * low_cosine + sine * low_sine)
    weight = np.where(inside, _mask_of(high, params.shape), np.float32(1))
    image = finite_magnitude(magnitude, params.even, grid) * weight**params.power
    return with_projection(image, inside, grid, params.thickness)


PHASE_MASK: SwiMethod[PhaseMaskParams] = Method(
    name="phase_mask",
    kind="swi",
    label="SWI (phase mask)",
    function=phase_mask_swi,
    params=PhaseMaskParams,
    sentence="Susceptibility-weighted images were made with a mask of the high-pass phase [haacke2004]{parameters}.",
    uses=frozenset({"magnitude"}),
)
