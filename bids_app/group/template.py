"""The average of a group in its own mean shape, and how sharp it is.

Every point of the template is the mean of the subjects' corresponding points: when all subjects have been registered to
the last average, the maps are composed with the inverse of their mean before the subjects are averaged through them,
so that the template has the shape of nobody (Guimond et al. 2000, 10.1006/cviu.1999.0815; Avants et al. 2010,
10.1016/j.neuroimage.2009.09.062). Subjects are read one after the other: memory does not grow with their number.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.group.warps import Backward, Field, Float32, Float64, Linear, Map, inverse, resample

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


def rotation_of(matrix: Float64) -> Float64:
    """Return the rotation nearest to a 3x3 matrix."""
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v)


def mean_pose(poses: Sequence[Float64], centre: Float64, grid: Float64) -> Float64:
    """Return the 4x4 matrix from a participant's mean position to the first run.

    Turned by the mean of all runs, and shifted by the part of their mean shift that is less than half a voxel: all runs
    are interpolated alike, and the head stays on the first run's grid wherever the others lie in their scanners.

    Parameters
    ----------
    poses : sequence of 4x4 matrices
        From points of the first run to points of each run, mm; the first one is the identity.
    centre : centre of the head in the first run, mm
    grid : 4x4 affine of the first run's grid
    """
    mean = np.mean(poses, axis=0)
    turn = rotation_of(mean[:3, :3])
    voxels = np.linalg.solve(grid[:3, :3], Linear(mean)(centre) - centre)
    back = np.eye(4)
    back[:3, :3] = turn.T
    back[:3, 3] = centre - turn.T @ (centre + grid[:3, :3] @ (voxels - np.rint(voxels)))
    return back


def shape_update(maps: Iterable[Map], head: tuple[npt.NDArray[np.bool_], Float64] | None = None) -> Map:
    """Return the inverse of the mean shape of maps, which are all linear or all fields on one grid.

    The shape of a map is what it does besides turning and shifting: how the subjects lie in their scanners is no part
    of it, and the mean of rotations would shrink the head. So the template stays where its grid is. Linear maps scale
    and shear about the origin, where the template's centre of mass is (``common_grid``). How a field turns and shifts
    is judged in the ``head`` (mask and affine; default: everywhere).
    """
    every = iter(maps)
    first = next(every, None)
    if first is None:
        raise ValueError("no map to average")
    if isinstance(first, Backward):
        raise TypeError("an inverse is no map that can be averaged")
    if isinstance(first, Field):
        return inverse(_mean_shape((field for field in chain([first], every) if isinstance(field, Field)), head))
    parts = [rotation_of(part.matrix[:3, :3]).T @ part.matrix[:3, :3] for part in (first, *every)]  # type: ignore[union-attr]
    update = np.eye(4)
    update[:3, :3] = np.linalg.inv(np.mean(parts, axis=0))
    return Linear(update)


def _mean_shape(fields: Iterable[Field], head: tuple[npt.NDArray[np.bool_], Float64] | None) -> Field:
    """Return the mean of fields, each turned and shifted back."""
    mean, affine = np.zeros(0), np.eye(4)
    turns, shift, count = np.zeros((3, 3)), np.zeros(3), 0
    for field in fields:
        if not count:
            mean, affine = np.zeros(field.displacement.shape), field.affine
            chosen = _voxels_in(field, head)
            points = Linear(affine)(2.0 * np.argwhere(chosen))
        turn, moved = _rigid_part(points, points + field.displacement[::2, ::2, ::2][chosen])
        mean += field.displacement @ turn.astype(np.float32)
        turns += turn.T - np.eye(3)
        shift += points.mean(axis=0) - turn.T @ moved
        count += 1
    # What turning back moves the voxels themselves by.
    rows = turns @ affine[:3, :3]
    index = np.ogrid[tuple(slice(n) for n in mean.shape[:3])]
    for axis in range(3):
        mean[..., axis] += sum(rows[axis, k] * index[k] for k in range(3)) + (turns @ affine[:3, 3] + shift)[axis]
    mean /= count
    return Field(mean.astype(np.float32), affine)


def _voxels_in(field: Field, head: tuple[npt.NDArray[np.bool_], Float64] | None) -> npt.NDArray[np.bool_]:
    """Return which voxels of a field lie in the head, of every second one along each axis; all where none does."""
    shape = field.displacement[::2, ::2, ::2].shape[:3]
    if head is not None:
        half = field.affine @ np.diag([2.0, 2, 2, 1])
        inside: npt.NDArray[np.bool_] = resample(head[0].astype(np.uint8), head[1], shape, half, [], order=0) > 0
        if inside.any():
            return inside
    return np.ones(shape, bool)


def _rigid_part(points: Float64, moved: Float64) -> tuple[Float64, Float64]:
    """Return the rotation that brings points nearest to where they are moved, and the mean of the moved ones.

    Kabsch 1976, 10.1107/S0567739476001873.
    """
    centre = moved.mean(axis=0)
    return rotation_of((moved - centre).T @ (points - points.mean(axis=0))), centre


def mean_image(images: Iterable[Float32]) -> tuple[Float32, int]:
    """Return the mean of images given one after the other, and their number."""
    total: Float64 | None = None
    count = 0
    for image in images:
        total = image.astype(np.float64) if total is None else total + image
        count += 1
    if total is None:
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
    """Counts how often each voxel has each label, one subject after the other: overlap and majority."""

    def __init__(self, shape: Sequence[int]):
        self.shape, self.members = tuple(shape), 0
        self._keys = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)

    def add(self, labels: npt.NDArray[np.generic]) -> None:
        """Count one subject's labels."""
        flat = labels.ravel().astype(np.int64)
        where = np.flatnonzero(flat)
        keys = np.concatenate([self._keys, where * (1 << 20) + flat[where]])
        weights = np.concatenate([self._counts, np.ones(len(where), np.int64)])
        self._keys, index = np.unique(keys, return_inverse=True)
        self._counts = np.bincount(index, weights, len(self._keys)).astype(np.int64)
        self.members += 1

    def overlap(self) -> float | None:
        """Return the Dice overlap over all pairs of subjects and all labels, weighted by volume."""
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
