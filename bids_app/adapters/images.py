"""Images for registration: axes in the order and direction of the scanner's (RAS), and back.

Only axes are exchanged and reversed, nothing is interpolated: a T1w image stored as LAS, LPS or in any other order
gives the registration the very same array as one stored as RAS.
"""

from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_grid, read_image, write_image
from bids_app.errors import QsmAppError

T = TypeVar("T", bound=np.generic)

FloatArray = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]


def axes_to_ras(affine: Affine) -> list[tuple[int, int]]:
    """Return, for each scanner axis x, y, z, the voxel axis that is nearest to it and its direction (1 or -1)."""
    matrix = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    best: list[tuple[int, int]] = [(0, 1)] * 3
    left = np.abs(matrix)
    for _ in range(3):  # the clearest pairs first, so that every voxel axis is used once
        world, voxel = np.unravel_index(int(np.argmax(left)), (3, 3))
        best[int(world)] = (int(voxel), 1 if matrix[world, voxel] > 0 else -1)
        left[world, :] = -1
        left[:, voxel] = -1
    return best


def to_ras(data: npt.NDArray[T], affine: Affine) -> tuple[npt.NDArray[T], Affine]:
    """Return the image with its axes nearest to RAS+."""
    axes = axes_to_ras(affine)
    turned = np.transpose(data, [voxel for voxel, _ in axes])
    new = affine.copy()
    for world, (voxel, direction) in enumerate(axes):
        new[:3, world] = affine[:3, voxel] * direction
        if direction < 0:
            new[:3, 3] += affine[:3, voxel] * (data.shape[voxel] - 1)
    flips = tuple(slice(None, None, direction) for _, direction in axes)
    return np.ascontiguousarray(turned[flips]), new


def from_ras(data: npt.NDArray[T], affine: Affine) -> npt.NDArray[T]:
    """Return an array made by :func:`to_ras` in the axes of the original ``affine``."""
    axes = axes_to_ras(affine)
    flips = tuple(slice(None, None, direction) for _, direction in axes)
    order = np.argsort([voxel for voxel, _ in axes])
    return np.ascontiguousarray(np.transpose(data[flips], order))


def write_ras(source: Path, target: Path) -> tuple[int, ...]:
    """Write an image with RAS axes, finite values and an orthogonal affine; return the source's shape.

    Raises
    ------
    QsmAppError
        If the image is not 3D.
    """
    data, affine = read_image(source)
    if data.ndim != 3:
        raise QsmAppError(f"{source.name} has {data.ndim} dimensions; a 3D image is needed, split it")
    turned, new = to_ras(np.nan_to_num(data, posinf=0, neginf=0), affine)
    write_image(target, turned, _orthogonal(new), "float32")
    return data.shape


def _orthogonal(affine: Affine) -> Affine:
    """Return the affine with the nearest rotation: rounding in headers is more than ITK tolerates."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(affine[:3, :3] / sizes)
    new = affine.copy()
    new[:3, :3] = (u @ v) * sizes
    return new


def off_grid(image: Path, shape: tuple[int, ...], affine: Affine, template: Path) -> str:
    """Return a sentence where an image of this grid does not lie on the template's, else nothing."""
    wanted, place = read_grid(template)
    if tuple(wanted) == tuple(shape) and np.allclose(place, affine, atol=1e-2):
        return ""
    return (
        f"{image} does not lie on the template's grid (it has {tuple(shape)}, the template {tuple(wanted)}, or "
        f"another position): draw it on {template}"
    )
