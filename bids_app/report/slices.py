"""Slices of volumes as a radiographer looks at them: axial, coronal and sagittal, up is up, left is on the right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

#: A map, a mask or labels: what is cut and turned is the same for all of them.
Array = npt.NDArray[Any]
Index = tuple[int, int, int]
Box = tuple[slice, slice, slice]
#: Planes by name: axis that is cut.
PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}


def _axes(affine: npt.NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """Return the stored axes that go to the right, anterior and superior, and which of them run the other way.

    Raises
    ------
    ValueError
        If the affine has no such axes (is singular).
    """
    directions = affine[:3, :3]
    sizes = np.linalg.norm(directions, axis=0)
    if not np.all(sizes > 0):
        raise ValueError("the affine has an axis without length")
    strength = np.abs(directions / sizes)
    order = [0, 0, 0]
    for _ in range(3):  # the clearest pair of axes first
        world, voxel = divmod(int(np.argmax(strength)), 3)
        order[world] = voxel
        strength[world, :] = strength[:, voxel] = -1
    return order, [bool(directions[world, voxel] < 0) for world, voxel in enumerate(order)]


def to_ras(data: Array, affine: npt.NDArray[np.float64]) -> tuple[Array, tuple[float, float, float]]:
    """Return a view with axes to the right, anterior and superior (nearest to them), and its voxel size in mm.

    Raises
    ------
    ValueError
        If the affine has no such axes (is singular).
    """
    order, turned = _axes(affine)
    view = np.flip(np.transpose(data, order), [axis for axis in range(3) if turned[axis]])
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return view, (float(sizes[order[0]]), float(sizes[order[1]]), float(sizes[order[2]]))


def stored_box(box: Box, shape: Sequence[int], affine: npt.NDArray[np.float64]) -> Box:
    """Return where a box of RAS axes lies in the stored array; ``shape`` is that of the RAS axes."""
    order, turned = _axes(affine)
    stored = [slice(0)] * 3
    for axis, (part, length) in enumerate(zip(box, shape, strict=True)):
        stored[order[axis]] = slice(length - part.stop, length - part.start) if turned[axis] else part
    return stored[0], stored[1], stored[2]


@dataclass(frozen=True)
class Frame:
    """What part of a volume is shown: the box around an object, and the point where the planes meet."""

    box: Box
    centre: Index
    voxel_size: tuple[float, float, float]
    #: Scanner coordinates (mm) of the first voxel of the volume and of one step along each of its axes, 4x4.
    affine: Array | None = None

    def coordinate(self, plane: str, position: int | None = None) -> float | None:
        """Return the scanner coordinate (mm) of a slice at the centre of the box; None where no affine is known."""
        if self.affine is None:
            return None
        axis = PLANES[plane]
        place = np.array([*self.centre, 1.0])
        place[axis] = self.centre[axis] if position is None else position
        return float((self.affine @ place)[axis])


def ras_affine(affine: npt.NDArray[np.float64], shape: Sequence[int]) -> Array:
    """Return the affine of :func:`to_ras`'s view; ``shape`` is that of the stored array."""
    order, turned = _axes(affine)
    view = np.eye(4)
    for axis, (stored, backwards) in enumerate(zip(order, turned, strict=True)):
        step = affine[:3, stored]
        view[:3, axis] = -step if backwards else step
    last = [shape[stored] - 1 if backwards else 0 for stored, backwards in zip(order, turned, strict=True)]
    view[:3, 3] = affine[:3, 3] + sum(affine[:3, stored] * n for stored, n in zip(order, last, strict=True))
    return view


def frame(
    mask: Array, voxel_size: tuple[float, float, float], margin_mm: float = 6.0, affine: Array | None = None
) -> Frame:
    """Return the box around a mask (RAS axes) with a margin, and its centre; the whole volume where it is empty."""
    if not mask.any():
        shape = mask.shape
        whole = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
        return Frame(whole, (shape[0] // 2, shape[1] // 2, shape[2] // 2), voxel_size, affine)
    box, centre = [], []
    for axis in range(3):
        line = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = round(margin_mm / voxel_size[axis])
        box.append(slice(max(0, int(line[0]) - margin), min(mask.shape[axis], int(line[-1]) + margin + 1)))
        weights = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        centre.append(round(float((weights * np.arange(mask.shape[axis])).sum() / weights.sum())))
    return Frame((box[0], box[1], box[2]), (centre[0], centre[1], centre[2]), voxel_size, affine)


def inside_box(shown: Frame) -> Frame:
    """Return the same frame for arrays that hold nothing but its box; a centre outside the box goes to its edge."""
    lengths = [part.stop - part.start for part in shown.box]
    centre = [
        min(max(place - part.start, 0), part.stop - part.start - 1)
        for place, part in zip(shown.centre, shown.box, strict=True)
    ]
    box = (slice(0, lengths[0]), slice(0, lengths[1]), slice(0, lengths[2]))
    affine = shown.affine
    if affine is not None:
        affine = affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [part.start for part in shown.box]
    return replace(shown, box=box, centre=(centre[0], centre[1], centre[2]), affine=affine)


def cut(volume: Array, shown: Frame, plane: str, position: int | None = None) -> tuple[Array, float]:
    """Return one slice as an image (rows from the top) inside the box, and the height of its pixels by their width.

    ``position`` is the slice's index in the volume; without it the plane goes through the centre.
    """
    axis = PLANES[plane]
    index: list[slice | int] = list(shown.box)
    index[axis] = shown.centre[axis] if position is None else position
    image = volume[tuple(index)].T[::-1]
    if plane != "sagittal":
        image = image[:, ::-1]  # radiological: the patient's left is on the right
    across, up = [shown.voxel_size[k] for k in range(3) if k != axis]
    return image, up / across


def positions(shown: Frame, plane: str, count: int) -> list[int]:
    """Return slices at equal distances through the box, away from its ends."""
    part = shown.box[PLANES[plane]]
    edges = np.linspace(part.start, part.stop - 1, count + 4)
    return [round(float(edge)) for edge in edges[2:-2]]


def mosaic_places(shown: Frame, most: int, distance: float = 0.0) -> list[int]:
    """Return the axial slices of a mosaic: at most so many, at least ``distance`` (mm) from each other."""
    part = shown.box[PLANES["axial"]]
    step = max(1, -(-(part.stop - part.start) // most), round(distance / shown.voxel_size[2]))
    return list(range(part.start + step // 2, part.stop, step))
