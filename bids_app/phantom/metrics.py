"""How far a map is from the truth: pure functions of arrays (any shape; a mask says where to look)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
#: Width of XSIM's window in voxels, and the standard deviation of its Gaussian.
_WIDTH, _SIGMA = 7, 1.5


def _pair(
    estimate: Array, true: Array, mask: BoolArray, *, reference: bool = True
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return both maps' values in the mask as float64, each referenced to its own mean there (if asked)."""
    if not estimate.shape == true.shape == mask.shape:
        raise ValueError(f"shapes differ: estimate {estimate.shape}, true {true.shape}, mask {mask.shape}")
    if not mask.any():
        raise ValueError("the mask is empty: there is nothing to compare")
    a, b = estimate[mask].astype(np.float64), true[mask].astype(np.float64)
    return (a - a.mean(), b - b.mean()) if reference else (a, b)


def nrmse(estimate: Array, true: Array, mask: BoolArray, *, reference: bool = True) -> float:
    """Root-mean-square error over the root mean square of the truth, in percent.

    With ``reference`` both maps are referenced to their mean in the mask first, as susceptibility needs it
    (Langkammer et al. 2018, 10.1002/mrm.26830); without, the maps are compared as they are.
    """
    a, b = _pair(estimate, true, mask, reference=reference)
    return float(100 * np.linalg.norm(a - b) / np.linalg.norm(b))


def detrended_nrmse(estimate: Array, true: Array, mask: BoolArray) -> float:
    """NRMSE in percent after the line estimate = slope * true + offset is fitted and undone.

    Underestimation as a whole does not count (QSM Challenge 2.0, 10.1002/mrm.28754). Infinite where the slope is not
    positive: such a map says nothing of the truth.
    """
    a, b = _pair(estimate, true, mask)
    slope = float(a @ b / (b @ b))
    return float(100 * np.linalg.norm(a / slope - b) / np.linalg.norm(b)) if slope > 0 else float("inf")


def xsim(
    estimate: Array,
    true: Array,
    mask: BoolArray,
    *,
    width: int = _WIDTH,
    uniform: bool = False,
    reference: bool = True,
    scored: BoolArray | None = None,
) -> float:
    """Return XSIM of two 3D susceptibility maps in ppm: 1 where they agree.

    SSIM in the maps' own range (Milovic et al. 2024, 10.1002/mrm.30271): dynamic range L = 1 ppm, K1 = 0.01,
    K2 = 0.001. Both maps are zero outside ``mask``. Figures of different windows are not comparable: the default is
    the Gaussian window (sigma 1.5 voxels) of 7 voxels, since a size of 3 in the authors' implementation is the reach
    to either side. Published figures on the 2016 challenge's head use a uniform window of 5 voxels and maps that are
    not referenced.

    Parameters
    ----------
    estimate, true : array, ``[x, y, z]``
        Maps in ppm.
    mask : bool, ``[x, y, z]``
        Where both maps are valid.
    width : int
        Width of the window in voxels, odd.
    uniform : bool
        Weigh all voxels of the window equally instead of by the Gaussian.
    reference : bool
        Subtract each map's mean in ``scored`` first.
    scored : bool, ``[x, y, z]``, optional
        Voxels whose mean is returned; ``mask`` if not given.

    Raises
    ------
    ValueError
        If the shapes differ, nothing is scored, or the width is not odd.
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"the width of XSIM's window must be odd, got {width}")
    scored = mask if scored is None else scored & mask
    inside_estimate, inside_true = _pair(estimate, true, mask, reference=False)
    a, b = np.zeros(estimate.shape), np.zeros(true.shape)
    a[mask], b[mask] = inside_estimate, inside_true
    if not scored.any():
        raise ValueError("no voxel is scored: there is nothing to compare")
    if reference:
        a[mask] -= a[scored].mean()
        b[mask] -= b[scored].mean()
    weights = _window(width, uniform=uniform)
    mean_a, mean_b = _smooth(a, weights), _smooth(b, weights)
    var_a, var_b = _smooth(a * a, weights) - mean_a**2, _smooth(b * b, weights) - mean_b**2
    covariance = _smooth(a * b, weights) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.001**2
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    index /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(index[scored].mean())


def _window(width: int, *, uniform: bool) -> npt.NDArray[np.float64]:
    """Return the weights of a window along one axis; they sum to 1."""
    away = np.arange(width) - width // 2
    weights = np.ones(width) if uniform else np.exp(-(away**2) / (2 * _SIGMA**2))
    return np.asarray(weights / weights.sum())


def _smooth(array: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted mean around each voxel; what lies outside the array is zero."""
    for axis in range(array.ndim):
        array = ndimage.correlate1d(array, weights, axis=axis, mode="constant")
    return array


@dataclass(frozen=True)
class Region:
    """Means of one region, ppm (or the maps' unit), after referencing."""

    index: int
    name: str
    voxels: int
    true: float
    estimate: float


def regions(
    estimate: Array, true: Array, mask: BoolArray, labels: npt.NDArray[np.integer], names: Mapping[int, str]
) -> tuple[Region, ...]:
    """Return the regional means of both maps, referenced to the mask; regions without a voxel in it are left out."""
    a, b = _pair(estimate, true, mask)
    inside = labels[mask]
    out = []
    for index, name in names.items():
        here = inside == index
        if here.any():
            out.append(Region(index, name, int(here.sum()), float(b[here].mean()), float(a[here].mean())))
    return tuple(out)


def slope(regional: tuple[Region, ...]) -> float:
    """Slope of the estimated regional means over the true ones (1 is right); nan with fewer than two regions."""
    if len(regional) < 2:
        return float("nan")
    true = np.array([r.true for r in regional])
    estimates = np.array([r.estimate for r in regional])
    centred = true - true.mean()
    return float(centred @ (estimates - estimates.mean()) / (centred @ centred))
