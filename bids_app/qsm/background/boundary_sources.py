"""Strong sources at the rim of the object: found by a first look, left out of the map, and put back into it.

Background removal must tell the field of the sources inside from that of those outside. Beside a strong source at the
surface (dural sinus, vein, bleeding, calcification) it cannot: what it takes for the one is off by a part of the
other, and the error spreads through the whole object. So a quick map tells where such sources are, and they are cut
from the mask. The background of the rest then has the field of the outside and theirs, which both come from beyond the
surface, and the map of the rest is nearer to the truth. The sources themselves are told by the Laplacian of what field
the rest leaves, which no background disturbs: single-step TGV around them.
"""

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.lbv import LbvParams, lbv
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import bayes
from bids_app.qsm.inversion.empirical_bayes import BayesParams
from bids_app.qsm.inversion.generalised_variation import TgvParams, noise_of_field
from bids_app.qsm.inversion.tgv import tgv
from bids_app.qsm.mask.boundary import remove_unreliable_boundary
from bids_app.qsm.mask.erosion import dilate_by_sphere, erode_by_sphere
from bids_app.qsm.mask.morphology import dilate
from bids_app.qsm.method import Correction, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import field_in_box
from bids_app.qsm.params import Params

#: The first look: enough to find the sources, in a third of the time.
_LOOK = LbvParams(corrections=1), BayesParams(rounds=2, detail=0)
#: mm around the sources in which TGV finds them: 8 and less are too few for its level, 16 are no better.
AROUND = 12.0
#: Sources are far above the noise: longer primal steps, and as many iterations as large ones need.
_STEP_RATIO, _ITERATIONS = 16.0, 200

#: mm. A source that comes so near to the rim is left out, with what of it is so deep at most. On simulated heads 3 to
#: 10 and 10 to 25 mm give the same maps. In a tight brain mask the substantia nigra comes within 5 mm of the rim; veins
#: would lead much deeper.
TOUCHING, DEEPEST = 4.0, 10.0
#: mm. What is thicker than twice this is no vein, but a bleeding or a calcification: it is left out whole, since a
#: surface through the middle of it would be worse than none.
THICK = 3.0
#: mm of empty space around the object, so that a field does not wrap onto it.
_PADDING = 20.0
#: Pieces of the rest with less than this share of it are left out, too. Where more than this share of the object would
#: be, it is noise or the object itself that is strong (a tenth of it is a large bleeding).
_LEAST, _MOST = 0.01, 0.2


def initial_estimate(
    total_field_ppm: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None = None
) -> tuple[FloatArray, BoolArray]:
    """Return a quick map (ppm) of the whole mask and where it is valid, for :func:`exclude_boundary_sources`.

    LBV with one correction and a short empirical-Bayes inversion; arguments as theirs.
    """
    local, valid = lbv(total_field_ppm, mask, grid, params=_LOOK[0], weights=weights)
    return bayes(local, valid, grid, params=_LOOK[1], weights=weights), valid


def exclude_boundary_sources(chi: FloatArray, mask: BoolArray, grid: Grid, *, threshold: float = 0.1) -> BoolArray:
    """Return the mask without its strong sources near the rim.

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Map of the whole mask in ppm; its median is taken for the zero.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling.
    threshold : float
        Magnitude of the susceptibility in ppm above which a voxel is a strong source.

    Returns
    -------
    mask : bool, ``grid.shape``; the given one where there are no such sources, or where less than four fifths
        would be left.
    """
    crop = Crop.around(mask, grid, 0.0)
    inside, values = mask[crop.box], chi[crop.box]
    strong = inside & (np.abs(values - np.float32(np.median(values[inside]))) > threshold)
    if not strong.any():
        return mask
    thick = dilate_by_sphere(erode_by_sphere(strong, THICK, grid.voxel_size), THICK, grid.voxel_size)
    deep, apart = (erode_by_sphere(inside, reach, grid.voxel_size) for reach in (DEEPEST, TOUCHING))
    parts, count = ndimage.label(strong & (thick | ~deep), np.ones((3, 3, 3), bool))
    chosen = np.zeros(count + 1, bool)
    chosen[np.unique(parts[~apart])] = True
    chosen[0] = False
    if not chosen.any():
        return mask
    rest = _large(inside & ~dilate(chosen[parts], 1))
    if np.count_nonzero(rest) < (1 - _MOST) * np.count_nonzero(inside):
        return mask
    out = np.zeros_like(mask)
    out[crop.box] = rest
    return out


def _large(mask: BoolArray) -> BoolArray:
    """Return the pieces, connected over faces, that are no crumbs."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(1, _LEAST * sizes.sum()))[parts])


def add_boundary_sources(
    chi: FloatArray,
    known: BoolArray,
    rest: BoolArray,
    total_field_ppm: FloatArray,
    mask: BoolArray,
    grid: Grid,
    weights: FloatArray | None = None,
) -> tuple[FloatArray, BoolArray]:
    """Put the sources at the rim into the map of the rest.

    The field of the rest is taken off the total one; of what is left, single-step TGV within 12 mm of the sources finds
    them. Its arbitrary level is the one that leaves nothing where the rest is known.

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Map of the rest in ppm.
    known : bool, ``grid.shape``
        Where it is valid.
    rest : bool, ``grid.shape``
        Mask without the sources, from :func:`exclude_boundary_sources`.
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
    left = total_field_ppm - field_in_box(np.where(known, chi - zero, np.float32(0)), mask, grid, _PADDING)
    params = TgvParams(
        noise=noise_of_field(total_field_ppm, mask, grid), step_ratio=_STEP_RATIO, iterations=_ITERATIONS
    )
    found = tgv(left, around, grid, params=params, weights=weights)
    nothing = around & known
    if nothing.any():
        found += zero - np.float32(np.median(found[nothing]))
    valid = known | around
    return np.where(known, chi, np.where(around, found, np.float32(0))).astype(np.float32), valid


def field_with_boundary_sources(
    local_field_ppm: FloatArray, mask_apart: BoolArray, chi: FloatArray, mask: BoolArray, grid: Grid
) -> FloatArray:
    """Local field in ppm of the whole mask, from that without the sources at the rim and the map that has them.

    The field of the sources is added where the local field is known, and where it is not, in the sources themselves,
    it is that of the whole map. Arrays of ``grid.shape``; 0 outside the mask.
    """
    relative = np.where(mask, chi - np.float32(chi[mask].mean(dtype=np.float64)), np.float32(0))
    sources = field_in_box(np.where(mask_apart, np.float32(0), relative), mask, grid, _PADDING)
    field = np.where(mask_apart, local_field_ppm + sources, field_in_box(relative, mask, grid, _PADDING))
    return np.where(mask, field, np.float32(0)).astype(np.float32)


BOUNDARY_SOURCES: Correction = Method(
    name="boundary_sources",
    kind="correction",
    label="Separate boundary sources",
    function=add_boundary_sources,
    params=Params,
    sentence=(
        "Strong sources at the mask boundary, found in an initial map, were left out of "
        "background removal and inversion; their susceptibility was estimated from the "
        "remaining field by single-step total generalised variation [langkammer2015]."
    ),
    maturity="this software's own",
    uses=frozenset({"weights"}),
)
