"""The brain of a head by its surface, and whether the object is a head at all."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.mask.bet import THRESHOLD, block_mean, brain_image, brain_surface, coarse_factors, even_tissue
from bids_app.qsm.mask.mesh import Surface, Vectors, rasterize, vertex_normals

#: How far outside of the surface the mask ends, mm: the surface rests where the brightness is about half that of the
#: brain. On simulated heads without it 0.5 % of the brain is lost, with it 0.3 %; with 2 mm, bone enters the mask.
MARGIN_MM = 1.0
#: Mean radius of the surface, mm: from an infant's brain to more than the largest one.
SMALLEST_MM, LARGEST_MM = 38.0, 95.0
#: Spread of its radii over their mean: heads have 0.11 to 0.17 (slabs), long or flat objects more than 0.2.
MAX_UNEVEN = 0.19
#: Part of the surface outside of which it is dark: heads have more than 0.9, organs of an abdomen 0.5 to 0.7.
MIN_ON_BONE = 0.8
#: Part of the surface outside of whose dark shell it is bright again, as scalp is: heads have 0.15 to 0.8, objects in
#: air none.
MIN_UNDER_SCALP = 0.06
#: Part of the surface that must lie in the volume.
MIN_SEEN = 0.15
#: Distances in which bone and scalp are looked for, mm.
_BONE_MM, _SCALP_MM, _STEP_MM = 10.0, 30.0, 2.0
#: Brightness of bone over that of the brain below it, at most; that of scalp, at least, and over the bone's.
_BONE, _SCALP, _OVER_BONE = 0.6, 0.35, 2.0


@dataclass(frozen=True)
class Brain:
    """The brain mask of a head; where the object is no head, ``mask`` is all True and ``reason`` says why."""

    mask: BoolArray
    reason: str = ""

    @property
    def is_head(self) -> bool:
        """Whether the surface encloses a brain."""
        return not self.reason


def extract_brain(
    magnitude: FloatArray | None,
    quality: FloatArray | None,
    voxel_size: tuple[float, float, float],
    threshold: float = THRESHOLD,
) -> Brain:
    """Return the brain of a head, or that there is none: test objects, animals and bodies must stay whole.

    The object is taken for a head if the surface has the size and roundness of a brain, rests on something dark nearly
    everywhere, and has something bright outside of that in places.

    Parameters
    ----------
    magnitude : float32, ``[x, y, z]``, optional
        Combined magnitude.
    quality : float32, ``[x, y, z]``, optional
        Phase quality, 0 to 1.
    voxel_size : 3 floats
        In mm.
    threshold : float
        See :func:`bids_app.qsm.mask.bet.brain_surface`.

    Raises
    ------
    ValueError
        If there is neither magnitude nor quality.
    """
    image = brain_image(magnitude, quality, voxel_size)
    shape = next(map_.shape for map_ in (magnitude, quality) if map_ is not None)
    surface = brain_surface(image, voxel_size, threshold)
    if surface is None:
        return Brain(np.ones(shape, bool), "the object fills the field of view")
    factors = coarse_factors(voxel_size)
    if magnitude is not None and float(np.ptp(magnitude)) > 0:
        image = even_tissue(block_mean(magnitude, factors), np.multiply(voxel_size, factors))
    reason = _why_no_head(surface, np.minimum(image, np.float32(1.5)), np.multiply(voxel_size, factors), voxel_size)
    wider = Surface(surface.vertices + MARGIN_MM * vertex_normals(surface), surface.faces)
    mask = rasterize(wider, (int(shape[0]), int(shape[1]), int(shape[2])), voxel_size)
    return Brain(np.ones(shape, bool), reason) if reason else Brain(mask)


def _why_no_head(surface: Surface, even: FloatArray, sizes: Vectors, voxel_size: tuple[float, float, float]) -> str:
    """Return why a surface is not that of a brain, or nothing."""
    middle = surface.vertices.mean(axis=0)
    radii = np.linalg.norm(surface.vertices - middle, axis=1)
    if not SMALLEST_MM <= radii.mean() <= LARGEST_MM:
        return f"the object has a radius of {radii.mean():.0f} mm"
    if radii.std() > MAX_UNEVEN * radii.mean():
        return "the object is not round"
    seen, on_bone, under_scalp = _surroundings(surface, even, sizes, voxel_size)
    if seen < MIN_SEEN:
        return "the object fills the field of view"
    if on_bone < MIN_ON_BONE:
        return f"there is no dark bone outside of {1 - on_bone:.0%} of the surface"
    if under_scalp < MIN_UNDER_SCALP:
        return "there is no scalp around the object"
    return ""


def _surroundings(
    surface: Surface, even: FloatArray, sizes: Vectors, voxel_size: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return the part of the surface in the volume, and of that the parts on dark bone and under bright scalp."""
    normals = vertex_normals(surface)
    last = (np.array(even.shape) - 1) * sizes
    first = (sizes - np.asarray(voxel_size)) / 2

    def at(distance: float) -> FloatArray:
        places = (surface.vertices + distance * normals - first) / sizes
        values = ndimage.map_coordinates(even, places.T, order=1, mode="nearest")
        return np.asarray(values, np.float32)

    beyond = surface.vertices + 12.0 * normals
    seen = np.all((beyond >= 0) & (beyond <= last), axis=1)
    if not seen.any():
        return 0.0, 0.0, 0.0
    inner = np.max([at(-d) for d in (2.0, 4.0, 6.0, 8.0)], axis=0)
    profile = np.stack([at(n * _STEP_MM) for n in range(int(_SCALP_MM / _STEP_MM) + 1)])
    bone = int(_BONE_MM / _STEP_MM) + 1
    darkest = profile[:bone].min(axis=0)
    behind = np.arange(len(profile))[:, None] > profile[:bone].argmin(axis=0)
    brightest = np.where(behind, profile, 0).max(axis=0)
    on_bone = seen & (darkest < _BONE * inner)
    under_scalp = on_bone & (brightest > np.maximum(_OVER_BONE * darkest, _SCALP * inner))
    return float(seen.mean()), float(on_bone[seen].mean()), float(under_scalp[seen].mean())
