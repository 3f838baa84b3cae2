"""Fine detail of a map from a few iterations of total generalised variation (TGV) that start at it.

Two good maps of one field err differently. One that follows the error's spectrum (:mod:`bids_app.qsm.inversion.bayes`)
is right where the dipole kernel is large and detail coarse; TGV, which takes the field for piecewise linear and knows
the mask's inside alone, fills the cone and the finest detail better. Their errors correlate by about 0.6, so that a
mean of both, there, errs less than either. Coarse detail, which regional means hang on, stays as it was.
"""

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.generalised_variation import TgvParams, continue_tgv
from bids_app.qsm.inversion.spectra import frequencies
from bids_app.qsm.kernels.bayes import weigh_difference
from bids_app.qsm.mask.boundary import remove_unreliable_boundary
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.laplacian import NEIGHBOURS

#: Share of TGV where it is best, and the frequencies (1/mm) from which it has half of that, everywhere and in the cone.
SHARE, FINE, COARSE = 0.6, 0.15, 0.03
#: Kernel magnitude up to which k-space counts as cone.
CONE = 0.07


def with_fine_detail(
    chi: FloatArray,
    field: FloatArray,
    mask: BoolArray,
    grid: Grid,
    kernel: FloatArray,
    weights: FloatArray,
    iterations: int,
    noise: float,
) -> FloatArray:
    """Return the map with fine detail, and what lies in the cone, from ``iterations`` of TGV that start at it.

    Parameters
    ----------
    chi, field : float32, ``grid.shape``
        Map, and the local field that it explains, in one unit.
    mask : bool, ``grid.shape``
        Object. One that is too thin for TGV leaves the map as it is.
    grid : Grid
        Sampling.
    kernel : float32, half grid of ``grid``
        Dipole kernel.
    weights : float32, ``grid.shape``
        Relative reliability of the field.
    iterations : int
        Some dozens are enough, the map being near already.
    """
    known = remove_unreliable_boundary(mask, weights)
    if not ndimage.binary_erosion(known, NEIGHBOURS).any():
        return chi
    difference = continue_tgv(
        chi, field, known, grid, weights=weights, iterations=iterations, params=TgvParams(noise=noise)
    )
    difference -= chi
    difference -= np.float32(difference.mean(where=known, dtype=np.float64))
    difference *= known
    spectrum = rfftn(difference)
    limits = (np.float32(value) for value in (SHARE, FINE, COARSE, CONE))
    weigh_difference(spectrum, kernel, frequencies(grid), *limits)
    return chi + irfftn(spectrum, grid.shape)
