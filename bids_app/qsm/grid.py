"""The sampling of a volume: shape, voxel size and the direction of the main field.

Arrays are indexed ``[x, y, z]`` in voxel axes, C-contiguous, float32. Phase is in radians with positive phase
for a positive field, echo times in seconds, fields in Hz or ppm, susceptibility in ppm.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, NumericArray, as_mask


@dataclass(frozen=True)
class Grid:
    """The sampling of a volume.

    Parameters
    ----------
    shape : 3 ints
        Number of voxels along each axis.
    voxel_size : 3 floats
        Voxel edge lengths in mm.
    b0_dir : 3 floats
        Direction of the main field in voxel axes; made a unit vector.

    Raises
    ------
    ValueError
        If a size is not positive or the direction is the zero vector.
    """

    shape: tuple[int, int, int]
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    b0_dir: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        voxel_size = tuple(float(v) for v in self.voxel_size)
        b0 = np.asarray(self.b0_dir, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"grid shape must be three positive integers, got {self.shape}")
        if len(voxel_size) != 3 or not all(np.isfinite(voxel_size)) or min(voxel_size) <= 0:
            raise ValueError(f"voxel size must be three positive lengths in mm, got {voxel_size}")
        norm = np.linalg.norm(b0)
        if b0.shape != (3,) or not np.isfinite(norm) or norm == 0:
            raise ValueError(f"B0 direction must be a non-zero vector of three numbers, got {self.b0_dir}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "voxel_size", voxel_size)
        object.__setattr__(self, "b0_dir", tuple(float(c) for c in b0 / norm))

    @classmethod
    def from_affine(
        cls, shape: tuple[int, ...], affine: npt.ArrayLike, b0_world: npt.ArrayLike = (0.0, 0.0, 1.0)
    ) -> "Grid":
        """Return the grid of an image, from its affine.

        The B0 direction in voxel axes is ``R^T b0_world`` with R the rotation part of the affine.

        Parameters
        ----------
        shape : 3 ints or more
            Shape of the image; axes after the third do not count.
        affine : 4x4 floats
            Maps voxels to scanner mm (RAS+, z along the bore), as ``nibabel`` reads it.
        b0_world : 3 floats
            Direction of the main field in scanner axes.

        Returns
        -------
        Grid
            Shape, voxel size in mm and direction of B0.

        Examples
        --------
        With nibabel: ``image = nibabel.load("phase.nii.gz"); qsm.Grid.from_affine(image.shape, image.affine)``.

        >>> Grid.from_affine((64, 64, 40), np.diag([1.0, 1.0, 2.0, 1.0]))
        Grid(shape=(64, 64, 40), voxel_size=(1.0, 1.0, 2.0), b0_dir=(0.0, 0.0, 1.0))
        """
        matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
        voxel_size = np.linalg.norm(matrix, axis=0)
        rotation = matrix / np.where(voxel_size > 0, voxel_size, 1)  # the grid refuses a size of 0
        b0 = rotation.T @ np.asarray(b0_world, dtype=np.float64)
        return cls(tuple(shape[:3]), tuple(voxel_size), tuple(b0))  # type: ignore[arg-type]

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in mm3."""
        return float(np.prod(self.voxel_size))


def checked_mask(mask: NumericArray, grid: Grid, **volumes: NumericArray | None) -> BoolArray:
    """Return a mask as truth values, where it and other volumes have the grid's shape.

    Parameters
    ----------
    mask : bool, ``grid.shape``
        Mask, of truth values or of the numbers 0 and 1.
    grid : Grid
        Sampling.
    **volumes : arrays
        Volumes by the names that a message gives them; those that are None are not looked at.

    Returns
    -------
    bool, ``grid.shape``
        The mask.

    Raises
    ------
    TypeError
        If the grid is something else.
    ValueError
        If a volume has another shape, or the mask holds other values than 0 and 1.
    """
    if not isinstance(grid, Grid):
        raise TypeError(f"the grid must be a Grid(shape, voxel_size, b0_dir), got {type(grid).__name__}")
    for name, volume in ({"mask": mask} | volumes).items():
        if volume is not None and np.shape(volume) != grid.shape:
            raise ValueError(f"{name.replace('_', ' ')} has shape {np.shape(volume)}, the grid {grid.shape}")
    return as_mask(mask)


def bounding_box(mask: BoolArray, margin: int = 0) -> tuple[slice, slice, slice]:
    """Return the smallest box that holds the mask (one voxel if empty), with a margin as far as the grid goes."""
    box: list[slice] = []
    part = mask
    for axis, n in enumerate(mask.shape):
        occupied = np.flatnonzero(part.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (int(occupied[0]), int(occupied[-1])) if occupied.size else (0, 0)
        part = part[(slice(None),) * axis + (slice(first, last + 1),)]
        box.append(slice(max(0, first - margin), min(n, last + 1 + margin)))
    return tuple(box)  # type: ignore[return-value]
