"""Maps of space in scanner coordinates (RAS, mm), and images seen through a chain of them; numpy and scipy.

A map takes points of the target to points of the moving image. ITK's files are in LPS: signs turn when they are read
and written here. Everything works slab by slab, so that memory does not grow with the number of maps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.derivatives.files import read_image

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

T = TypeVar("T", np.float32, np.uint8, np.int32)

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Voxels of one slab.
_SLAB = 1 << 20


@dataclass(frozen=True)
class Linear:
    """``p -> M p``, a 4x4 matrix."""

    matrix: Float64

    def __call__(self, points: npt.NDArray[np.floating]) -> Float64:
        """Return mapped points, ``[..., 3]``."""
        mapped: Float64 = points @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return mapped


@dataclass(frozen=True)
class Field:
    """``p -> p + d(p)``; displacements in mm on a grid, the nearest one outside it."""

    displacement: Float32  # [x, y, z, 3]
    affine: Float64

    def __call__(self, points: Float64) -> Float64:
        """Return mapped points, ``[..., 3]``."""
        voxels = _voxels(points, self.affine)
        moved: list[Float64] = [
            ndimage.map_coordinates(self.displacement[..., axis], voxels, order=1, mode="nearest") for axis in range(3)
        ]
        return points + np.stack(moved, axis=-1)


@dataclass(frozen=True)
class Backward:
    """The inverse of a field, point by point: ``q`` with ``q + d(q) = p``, by fixed-point iteration."""

    field: Field
    iterations: int = 60
    tolerance_mm: float = 1e-3

    def __call__(self, points: Float64) -> Float64:
        """Return mapped points, ``[..., 3]``."""
        positions = 2 * points - self.field(points)
        for _ in range(self.iterations):
            step = points - self.field(positions)
            positions = positions + step
            if not step.size or float(np.abs(step).max()) < self.tolerance_mm:
                break
        return positions


Map = Linear | Field | Backward


def inverted(mapping: Map) -> Map:
    """Return the inverse of a map."""
    if isinstance(mapping, Backward):
        return mapping.field
    return (
        Linear(np.linalg.inv(mapping.matrix).astype(np.float64)) if isinstance(mapping, Linear) else Backward(mapping)
    )


def _voxels(points: Float64, affine: Float64) -> Float64:
    return np.moveaxis(Linear(np.linalg.inv(affine).astype(np.float64))(points), -1, 0)


def read_map(path: Path) -> Map:
    """Return a map from ITK's text format (``.txt``) or a displacement field (``.nii.gz``)."""
    if path.suffix == ".txt":
        return Linear(read_linear(path))
    data, affine = read_image(path)
    vectors = np.ascontiguousarray(data.reshape(*data.shape[:3], 3)) * np.array([-1, -1, 1], np.float32)
    return Field(vectors, affine)


def read_linear(path: Path) -> Float64:
    """Return the RAS matrix of a linear transform in ITK's text format."""
    numbers = {}
    for line in path.read_text().splitlines():
        name, _, values = line.partition(":")
        if name in ("Parameters", "FixedParameters"):
            numbers[name] = np.array(values.split(), float)
    matrix, offset = numbers["Parameters"][:9].reshape(3, 3), numbers["Parameters"][9:12]
    centre = numbers["FixedParameters"][:3]
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = matrix, offset + centre - matrix @ centre
    return np.asarray(_LPS @ whole @ _LPS)


def write_linear(path: Path, matrix: Float64) -> Path:
    """Write a RAS matrix in ITK's text format."""
    lps = _LPS @ matrix @ _LPS
    numbers = " ".join(f"{value:.17g}" for value in (*lps[:3, :3].ravel(), *lps[:3, 3]))
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {numbers}\nFixedParameters: 0 0 0\n"
    )
    return path


def _slabs(shape: Sequence[int], affine: Float64) -> Iterator[tuple[slice, Float64]]:
    """Give slabs of a grid and the scanner coordinates of their voxels."""
    thick = max(1, _SLAB // (shape[1] * shape[2]))
    for start in range(0, shape[0], thick):
        part = slice(start, min(start + thick, shape[0]))
        index = np.stack(np.meshgrid(*map(np.arange, (part.start, 0, 0), (part.stop, *shape[1:])), indexing="ij"), -1)
        yield part, Linear(affine)(index.astype(float))


def resample(
    data: npt.NDArray[T], affine: Float64, shape: Sequence[int], grid: Float64, maps: Sequence[Map], order: int = 1
) -> npt.NDArray[T]:
    """Return an image on a grid, seen through maps (the first one is applied first); zero outside the image.

    Parameters
    ----------
    data, affine : moving image and its 4x4 affine
    shape, grid : target grid and its 4x4 affine
    order : 1 linear (images, float32), 0 nearest (labels)
    """
    out: npt.NDArray[T] = np.empty(tuple(shape), np.float32 if order else data.dtype)
    for part, points in _slabs(shape, grid):
        for transform in maps:
            points = transform(points)
        out[part] = ndimage.map_coordinates(data, _voxels(points, affine), order=order, mode="constant", cval=0)
    return out


def resample_labels(
    labels: npt.NDArray[np.generic], affine: Float64, shape: Sequence[int], grid: Float64, maps: Sequence[Map]
) -> npt.NDArray[np.int32]:
    """Return a label image on a grid, seen through maps: the label that linear interpolation of all labels gives most.

    This is ITK's generic label interpolation: borders are smooth, and no label comes up that was not there.
    """
    points = displacement(shape, grid, maps)
    best, out = np.zeros(tuple(shape), np.float32), np.zeros(tuple(shape), np.int32)
    share = np.zeros(tuple(shape), np.float32)
    for part, offsets in _slabs(shape, grid):
        voxels = _voxels(offsets + points[part], affine)
        for label in np.unique(labels[labels != 0]):
            ndimage.map_coordinates(
                (labels == label).astype(np.float32), voxels, share[part], order=1, mode="constant", cval=0
            )
            more = share[part] > best[part]
            out[part][more], best[part][more] = label, share[part][more]
    # What no label holds more than the background does.
    for part, offsets in _slabs(shape, grid):
        rest = ndimage.map_coordinates(
            (labels == 0).astype(np.float32), _voxels(offsets + points[part], affine), order=1, mode="constant", cval=1
        )
        out[part][rest >= best[part]] = 0
    return out


def displacement(shape: Sequence[int], grid: Float64, maps: Sequence[Map]) -> Float32:
    """Return by how much a chain of maps moves the voxels of a grid, mm, ``[x, y, z, 3]``."""
    out = np.empty((*shape, 3), np.float32)
    for part, points in _slabs(shape, grid):
        moved = points
        for transform in maps:
            moved = transform(moved)
        out[part] = moved - points
    return out


def inverse(field: Field, iterations: int = 30, tolerance_mm: float = 1e-3) -> Field:
    """Return the inverse of a smooth field by fixed-point iteration ``u(x) = -d(x + u(x))``."""
    shape = field.displacement.shape[:3]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).astype(float)
    points = Linear(field.affine)(index)
    u = np.zeros_like(points)
    for _ in range(iterations):
        new = -(field(points + u) - (points + u))
        change = float(np.abs(new - u).max())
        u = new
        if change < tolerance_mm:
            break
    return Field(u.astype(np.float32), field.affine)
