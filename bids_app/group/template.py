"""The average of a group in its own mean shape, and how sharp it is.

Every point of the template is the mean of the members' corresponding points: when all members have been registered to
the last average, the maps are composed with the inverse of their mean before the members are averaged through them,
so that the template has the shape of nobody (Guimond et al. 2000, 10.1006/cviu.1999.0815; Avants et al. 2010,
10.1016/j.neuroimage.2009.09.062). Members are read one after the other: memory does not grow with their number.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.group.warps import Backward, Field, Float32, Float64, Linear, Map, inverse

#: Around the head, mm.
_MARGIN_MM = 12.0


def centre_of_mass(data: Float32, affine: Float64) -> Float64:
    """Return the centre of mass of an image in scanner coordinates, mm."""
    weights = np.clip(np.nan_to_num(data), 0, None)
    return np.asarray(Linear(affine)(np.array(ndimage.center_of_mass(weights))))


def extent(mask: npt.NDArray[np.bool_], affine: Float64, centre: Float64) -> tuple[Float64, Float64]:
    """Return lower and upper corner of a mask relative to a centre, mm."""
    corners = []
    for axis in range(3):
        where = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        corners.append((int(where[0]), int(where[-1])) if where.size else (0, mask.shape[axis] - 1))
    points = Linear(affine)(np.stack(np.meshgrid(*corners, indexing="ij"), -1).reshape(-1, 3).astype(float)) - centre
    return points.min(axis=0), points.max(axis=0)


def common_grid(extents: Sequence[tuple[Float64, Float64]], resolution: float) -> tuple[tuple[int, ...], Float64]:
    """Return shape and affine (RAS axes) of an isotropic grid around the median head, centred on its centre of mass."""
    low = np.median([low for low, _ in extents], axis=0) - _MARGIN_MM
    high = np.median([high for _, high in extents], axis=0) + _MARGIN_MM
    affine = np.diag([resolution] * 3 + [1.0])
    affine[:3, 3] = np.round(low / resolution) * resolution
    shape = tuple(int(np.ceil((h - o) / resolution)) + 1 for h, o in zip(high, affine[:3, 3], strict=True))
    return shape, affine


def shape_update(maps: Iterable[Map]) -> Map:
    """Return the inverse of the mean of maps, which are all linear or all fields on one grid."""
    total: Any = None
    count, affine = 0, np.eye(4)
    for one in maps:
        if isinstance(one, Backward):
            raise TypeError("an inverse is no map that can be averaged")
        part = one.matrix if isinstance(one, Linear) else one.displacement
        affine = affine if isinstance(one, Linear) else one.affine
        total = part.astype(np.float64) if total is None else total + part
        count += 1
    if count == 0:
        raise ValueError("no map to average")
    mean = total / count
    return Linear(np.linalg.inv(mean)) if mean.shape == (4, 4) else inverse(Field(mean.astype(np.float32), affine))


def mean_image(images: Iterable[Float32]) -> tuple[Float32, int]:
    """Return the mean of images given one after the other, and their number."""
    total: Any = None
    count = 0
    for image in images:
        total = image.astype(np.float64) if total is None else total + image
        count += 1
    if count == 0:
        raise ValueError("no image to average")
    return (total / count).astype(np.float32), count


def sharpen(image: Float32, amount: float, sigma_voxels: float = 1.0) -> Float32:
    """Return an image with its fine detail raised (unsharp mask); 0 leaves it."""
    if amount == 0:
        return image
    return np.asarray(image + amount * (image - ndimage.gaussian_filter(image, sigma_voxels)), np.float32)


def sharpness(image: Float32, voxel_mm: float) -> float:
    """Return the gradient energy of an average relative to its own energy, 1/mm^2."""
    gradient = np.gradient(image.astype(np.float64), voxel_mm)
    energy = sum(float((g * g).sum()) for g in gradient)
    return energy / max(float((image.astype(np.float64) ** 2).sum()), 1e-12)


class Labels:
    """Counts how often each voxel has each label, one member after the other: overlap and majority."""

    def __init__(self, shape: Sequence[int]):
        self.shape, self.members = tuple(shape), 0
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, labels: npt.NDArray[Any]) -> None:
        """Count one member's labels."""
        flat = labels.ravel().astype(np.int64)
        where = np.flatnonzero(flat)
        keys = np.concatenate([self._keys, where * (1 << 20) + flat[where]])
        weights = np.concatenate([self._counts, np.ones(len(where), np.int64)])
        self._keys, index = np.unique(keys, return_inverse=True)
        self._counts = np.bincount(index, weights, len(self._keys)).astype(np.int64)
        self.members += 1

    def overlap(self) -> float | None:
        """Return the Dice overlap over all pairs of members and all labels, weighted by volume."""
        total = int(self._counts.sum())
        if self.members < 2 or not total:
            return None
        return float((self._counts * (self._counts - 1)).sum() / ((self.members - 1) * total))

    def majority(self) -> npt.NDArray[np.int32]:
        """Return, for each voxel, its most frequent label where that is more frequent than none."""
        fused = np.zeros(int(np.prod(self.shape)), np.int32)
        voxels, labels = self._keys >> 20, self._keys & ((1 << 20) - 1)
        order = np.lexsort((labels, -self._counts, voxels))
        voxels, labels, counts = voxels[order], labels[order], self._counts[order]
        first = np.ones(len(voxels), bool)
        first[1:] = voxels[1:] != voxels[:-1]
        any_label = np.bincount(voxels, counts, len(fused)) if len(voxels) else np.zeros(len(fused))
        keep = first & (counts > self.members - any_label[voxels])
        fused[voxels[keep]] = labels[keep]
        return fused.reshape(self.shape)
