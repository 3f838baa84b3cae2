"""Strong sources at the boundary of the mask: found in an initial map, and left out of the mask.

Background removal separates the field of the sources inside from that of those outside. Near a strong source at the
surface (dural sinus, vein, haemorrhage, calcification) it cannot: a part of the one counts as the other, and the error
spreads through the whole object. So the strong sources near the boundary are cut from the mask. The background of the
rest then includes their field, which comes from beyond the surface as the background does, and the map of the rest is
more accurate. :mod:`bids_app.qsm.pipeline.boundary_sources` estimates the sources themselves and puts them back.
"""

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.erosion import dilate_by_sphere, erode_by_sphere
from bids_app.qsm.mask.morphology import dilate
from bids_app.qsm.method import Correction, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import field_in_box
from bids_app.qsm.params import Params

#: mm. A source that comes so near to the boundary is left out, with what of it is so deep at most. On simulated heads 3
#: to 10 and 10 to 25 mm give the same maps. In a tight brain mask the substantia nigra comes within 5 mm of the
#: boundary; veins would lead much deeper.
TOUCHING, DEEPEST = 4.0, 10.0
#: mm. What is thicker than twice this is no vein, but a bleeding or a calcification: it is left out whole, since a
#: surface through the middle of it would be worse than none.
THICK = 3.0
#: mm of empty space around the object, so that a field does not wrap onto it.
PADDING = 20.0
#: Pieces of the rest with less than this share of it are left out, too. Where more than this share of the object would
#: be, it is noise or the object itself that is strong (a tenth of it is a large bleeding).
_MIN_SHARE, _MAX_SHARE = 0.01, 0.2


def exclude_boundary_sources(chi: FloatArray, mask: BoolArray, grid: Grid, *, threshold: float = 0.1) -> BoolArray:
    """Return the mask without its strong sources near the boundary.

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
    deep, inner = (erode_by_sphere(inside, reach, grid.voxel_size) for reach in (DEEPEST, TOUCHING))
    parts, count = ndimage.label(strong & (thick | ~deep), np.ones((3, 3, 3), bool))
    chosen = np.zeros(count + 1, bool)
    chosen[np.unique(parts[~inner])] = True
    chosen[0] = False
    if not chosen.any():
        return mask
    rest = _large(inside & ~dilate(chosen[parts], 1))
    if np.count_nonzero(rest) < (1 - _MAX_SHARE) * np.count_nonzero(inside):
        return mask
    out = np.zeros_like(mask)
    out[crop.box] = rest
    return out


def _large(mask: BoolArray) -> BoolArray:
    """Return the pieces, connected over faces, that are no crumbs."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(1, _MIN_SHARE * sizes.sum()))[parts])


def field_with_boundary_sources(
    local_field_ppm: FloatArray, mask_separate: BoolArray, chi: FloatArray, mask: BoolArray, grid: Grid
) -> FloatArray:
    """Local field in ppm of the whole mask, from that without the sources at the boundary and the map that has them.

    The field of the sources is added where the local field is known, and where it is not, in the sources themselves,
    it is that of the whole map. Arrays of ``grid.shape``; 0 outside the mask.
    """
    relative = np.where(mask, chi - np.float32(chi[mask].mean(dtype=np.float64)), np.float32(0))
    sources = field_in_box(np.where(mask_separate, np.float32(0), relative), mask, grid, PADDING)
    field = np.where(mask_separate, local_field_ppm + sources, field_in_box(relative, mask, grid, PADDING))
    return np.where(mask, field, np.float32(0)).astype(np.float32)


BOUNDARY_SOURCES: Correction = Method(
    name="boundary_sources",
    kind="correction",
    label="Separate boundary sources",
    function=exclude_boundary_sources,
    params=Params,
    sentence=(
        "Strong sources at the mask boundary, found in an initial map, were excluded from "
        "background removal and inversion; their susceptibility was estimated from the "
        "remaining field by single-step total generalised variation [langkammer2015]."
    ),
    maturity="this software's own",
)
