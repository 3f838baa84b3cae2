"""Thresholds from a histogram, and the evening of an image's brightness before one."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.operators.smoothing import gaussian

_BINS = 256


def _histogram(values: FloatArray, bins: int) -> tuple[FloatArray, FloatArray]:
    # The brightest voxels (vessels, artefacts) are clipped: they would leave few bins for all others.
    top = float(np.percentile(values[:: max(1, values.size // 1_000_000)], 99.9))
    low = float(values.min())
    counts, edges = np.histogram(
        np.minimum(values, top), bins=bins, range=(low, max(top, low + 1e-3 * abs(low) + 1e-12))
    )
    return counts.astype(np.float64), (edges[:-1] + edges[1:]) / 2


def otsu_threshold(values: FloatArray, bins: int = _BINS) -> float:
    """Return Otsu's threshold: the split of the histogram with the largest variance between the classes.

    References
    ----------
    Otsu 1979, 10.1109/TSMC.1979.4310076.
    """
    counts, centres = _histogram(values, bins)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(np.isfinite(between), between, -1)))])


def gaussian_threshold(values: FloatArray, bins: int = _BINS) -> float:
    """Return the threshold at which two Gaussians describe the histogram best: noise below, object above.

    Of all splits the one with the least classification error of two Gaussians with the classes' shares, means and
    variances; it finds the edge of a narrow noise peak next to that of a wide object, where Otsu's split lies too high.

    References
    ----------
    Kittler and Illingworth 1986, 10.1016/0031-3203(86)90030-0.
    """
    counts, centres = _histogram(values, bins)
    total = counts.sum()
    below, first, second = np.cumsum(counts), np.cumsum(counts * centres), np.cumsum(counts * centres**2)
    width = centres[1] - centres[0]

    def spread(n: FloatArray, s: FloatArray, q: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.sqrt(np.maximum(q / n - (s / n) ** 2, (width / 4) ** 2))

    low = spread(below, first, second)
    high = spread(total - below, first[-1] - first, second[-1] - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = below / total
        error = 1 + 2 * (p * np.log(low / p) + (1 - p) * np.log(high / (1 - p)))
    usable = np.isfinite(error) & (p > 0.01) & (p < 0.99)
    if not usable.any():
        return otsu_threshold(values, bins)
    return float(centres[int(np.argmin(np.where(usable, error, np.inf)))])


def even_brightness(magnitude: FloatArray, sigma: tuple[float, ...], mask: BoolArray | None = None) -> FloatArray:
    """Return the magnitude divided by its own local mean, so that the receive coils' sensitivity is gone.

    The mean is taken over bright voxels alone, so that the edge of the object is not thought dark; ``sigma`` is the
    width of the Gaussian along each axis in voxels. Values are about 1 inside the object.
    """
    bright = magnitude > 0
    if bright.any():
        known = magnitude[bright]
        bright = magnitude > min(0.5 * otsu_threshold(known), gaussian_threshold(known))
    if mask is not None:
        bright &= mask
    weight = gaussian(bright.astype(np.float32), sigma)
    local = gaussian(np.where(bright, magnitude, np.float32(0)), sigma)
    np.divide(local, weight, out=local, where=weight > 0.02)
    local[weight <= 0.02] = np.inf  # far from everything bright
    return np.divide(magnitude, np.maximum(local, 1e-20), dtype=np.float32)
