"""Strong sources at the rim of the object: found in a map, left out of a second one, and put back."""

import numpy as np
from scipy import ndimage

from bids_app.qsm.dipole import dipole_kernel
from bids_app.qsm.erosion import dilate_by_sphere
from bids_app.qsm.fft import Crop, irfftn, rfftn
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.morphology import dilate

#: mm. A source that comes so near to the rim is left out, with what of it is so deep at most. On simulated heads 4 to
#: 10 and 10 to 25 mm give the same maps; veins would lead much deeper.
TOUCHING, DEEPEST = 6.0, 10.0
#: mm. What is thicker than twice this is no vein, but a bleeding or a calcification: it is left out whole, since a
#: surface through the middle of it would be worse than none.
THICK = 3.0
#: mm of empty space around the object, so that a field does not wrap onto it.
_PADDING = 20.0
#: Pieces of the rest with less than this share of it are left out, too. Where more than this share of the object would
#: be, it is noise or the object itself that is strong (a tenth of it is a large bleeding).
_LEAST, _MOST = 0.01, 0.2


def without_rim_sources(chi: FloatArray, mask: BoolArray, grid: Grid, *, threshold: float = 0.1) -> BoolArray:
    """Return the mask without its strong sources near the rim: dural sinuses, veins, bleedings, calcifications.

    Background removal must tell the field of the sources inside from that of those outside. Beside a strong source at
    the surface it cannot: what it takes for the one is off by a part of the other, and the error spreads through the
    whole object. Without these sources (1 % of a head) the background has the field of the outside and theirs, which
    both come from beyond the surface; the map of the rest is nearer to the truth, and
    :func:`with_rim_sources` takes the sources from the map in which they were found.

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
    thick = dilate_by_sphere(_eroded(strong, THICK, grid), THICK, grid.voxel_size)
    outside = ~np.pad(inside, 1)
    near, touching = (
        dilate_by_sphere(outside, reach, grid.voxel_size)[1:-1, 1:-1, 1:-1] for reach in (DEEPEST, TOUCHING)
    )
    parts, count = ndimage.label(strong & (near | thick), np.ones((3, 3, 3), bool))
    chosen = np.zeros(count + 1, bool)
    chosen[np.unique(parts[touching])] = True
    chosen[0] = False
    if not chosen.any():
        return mask
    rest = _large(inside & ~dilate(chosen[parts], 1))
    if np.count_nonzero(rest) < (1 - _MOST) * np.count_nonzero(inside):
        return mask
    out = np.zeros_like(mask)
    out[crop.box] = rest
    return out


def _eroded(mask: BoolArray, radius: float, grid: Grid) -> BoolArray:
    return ~dilate_by_sphere(~np.pad(mask, 1), radius, grid.voxel_size)[1:-1, 1:-1, 1:-1]


def _large(mask: BoolArray) -> BoolArray:
    """Return the pieces, connected over faces, that are no crumbs."""
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(1, _LEAST * sizes.sum()))[parts])


def with_rim_sources(chi_apart: FloatArray, mask_apart: BoolArray, chi: FloatArray, mask: BoolArray) -> FloatArray:
    """Susceptibility in ppm of the map without the sources where it is valid, of the map with them elsewhere.

    The zero of an inverted map is arbitrary: both are brought to the same mean where both are valid, that of the map
    without the sources. Arrays are float32 and bool of one shape; 0 outside both masks.
    """
    both = mask_apart & mask
    step = np.mean(chi_apart[both], dtype=np.float64) - np.mean(chi[both], dtype=np.float64)
    return np.where(mask_apart, chi_apart, np.where(mask, chi + np.float32(step), np.float32(0))).astype(np.float32)


def field_with_rim_sources(
    local_field_ppm: FloatArray, mask_apart: BoolArray, chi: FloatArray, mask: BoolArray, grid: Grid
) -> FloatArray:
    """Local field in ppm of the whole mask, from that without the sources at the rim and the map that has them.

    The field of the sources is added where the local field is known, and where it is not, in the sources themselves,
    it is that of the whole map. Arrays of ``grid.shape``; 0 outside the mask.
    """
    crop = Crop.around(mask, grid, _PADDING)
    inside, known = crop.take(mask, bool), crop.take(mask_apart, bool)
    relative = np.where(inside, crop.take(chi) - np.float32(chi[mask].mean(dtype=np.float64)), np.float32(0))
    kernel = dipole_kernel(crop.grid)
    sources, whole = (
        irfftn(rfftn(part) * kernel, crop.grid.shape) for part in (np.where(known, np.float32(0), relative), relative)
    )
    field = np.where(known, crop.take(local_field_ppm) + sources, whole)
    return crop.put(np.where(inside, field, np.float32(0)), grid.shape)
