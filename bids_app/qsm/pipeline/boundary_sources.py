"""Strong sources at the boundary of the mask: an initial map in which they are found, and their own susceptibility.

:mod:`bids_app.qsm.background.boundary_sources` leaves them out of the mask. This module composes methods of several
families: LBV and the empirical-Bayes inversion make the initial map; single-step TGV estimates the sources from the
field that the rest of the object leaves. TGV works on the Laplacian, which no background field disturbs.
"""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.boundary_sources import PADDING
from bids_app.qsm.background.lbv import LbvParams, lbv
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import bayes
from bids_app.qsm.inversion.empirical_bayes import BayesParams
from bids_app.qsm.inversion.generalised_variation import TgvParams, noise_of_field
from bids_app.qsm.inversion.tgv import tgv
from bids_app.qsm.mask.boundary import remove_unreliable_boundary
from bids_app.qsm.mask.erosion import dilate_by_sphere
from bids_app.qsm.operators.dipole import field_in_box

#: Parameters of the initial map: enough to find the sources, in a third of the time.
_INITIAL = LbvParams(corrections=1), BayesParams(outer_iterations=2, detail=0)
#: mm around the sources in which TGV finds them: 8 and less are too few for its level, 16 are no better.
AROUND = 12.0
#: Sources are far above the noise: longer primal steps, and as many iterations as large ones need.
_STEP_RATIO, _ITERATIONS = 16.0, 200


def initial_estimate(
    total_field_ppm: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None = None
) -> tuple[FloatArray, BoolArray]:
    """Return a quick map (ppm) of the whole mask and where it is valid, in which boundary sources are found.

    LBV with one correction and a short empirical-Bayes inversion; arguments as theirs.
    """
    local, valid = lbv(total_field_ppm, mask, grid, params=_INITIAL[0], weights=weights)
    return bayes(local, valid, grid, params=_INITIAL[1], weights=weights), valid


def add_boundary_sources(
    chi: FloatArray,
    known: BoolArray,
    rest: BoolArray,
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    weights: FloatArray | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Put the boundary sources into the map of the rest.

    The field of the rest is subtracted from the total one. From what remains, single-step TGV within 12 mm of the
    sources estimates them. Its arbitrary level is the one that leaves nothing where the rest is known.

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Map of the rest in ppm.
    known : bool, ``grid.shape``
        Where it is valid.
    rest : bool, ``grid.shape``
        Mask without the sources, from
        :func:`~bids_app.qsm.background.boundary_sources.exclude_boundary_sources`.
    total_field_ppm : float32, ``grid.shape``
        Total field in ppm.
    mask : bool, ``grid.shape``
        Object with the sources.
    grid : Grid
        Sampling.
    weights : float32, ``grid.shape``, optional
        Relative reliability of the field.

    Returns
    -------
    chi : float32, ``grid.shape``, in ppm, unchanged where ``known``; zero outside the returned mask.
    mask : bool, ``grid.shape``; ``known``, the sources, and what a background method has eroded between both.
    """
    mask = remove_unreliable_boundary(mask & np.isfinite(total_field_ppm), weights)
    sources = mask & ~rest
    if not sources.any():
        return np.where(known, chi, np.float32(0)).astype(np.float32), known
    around = dilate_by_sphere(sources, AROUND, grid.voxel_size) & mask
    zero = np.float32(chi[known].mean(dtype=np.float64))
    remaining = total_field_ppm - field_in_box(np.where(known, chi - zero, np.float32(0)), mask, grid, PADDING)
    params = TgvParams(
        noise=noise_of_field(total_field_ppm, mask, grid), step_ratio=_STEP_RATIO, iterations=_ITERATIONS
    )
    estimate = tgv(remaining, around, grid, params=params, weights=weights)
    nothing = around & known
    if nothing.any():
        estimate += zero - np.float32(np.median(estimate[nothing]))
    valid = known | around
    return np.where(known, chi, np.where(around, estimate, np.float32(0))).astype(np.float32), valid
