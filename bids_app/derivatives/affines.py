"""Affines of images in mm, and whether two images lie at the same place."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.grids import UNITS_MM
from bids_app.derivatives.nifti import StoredImage

Array = npt.NDArray[np.float64]

#: Corners of two images on one grid lie nearer together than this, in voxels.
_SAME_PLACE = 0.1


def millimetres(image: StoredImage) -> float:
    """Return the length of a NIfTI header's unit in mm; millimetres are assumed where it names none."""
    header = image.header
    return UNITS_MM.get(int(header["xyzt_units"]) & 7, 1.0) if "xyzt_units" in header else 1.0


def affine_in_mm(image: StoredImage) -> Array:
    """Return an image's affine in mm, whatever the unit of its header."""
    affine: Array = np.array(image.affine, np.float64)
    affine[:3] *= millimetres(image)
    return affine


def same_place(first: Array, second: Array, shape: Sequence[int]) -> bool:
    """Return whether two affines put the corners of a grid at the same place, to a tenth of a voxel."""
    corners = np.array([[*corner, 1.0] for corner in product(*((0, n - 1) for n in shape[:3]))]).T
    distances = np.linalg.norm(((np.asarray(first) - np.asarray(second)) @ corners)[:3], axis=0)
    smallest = np.linalg.norm(np.asarray(first)[:3, :3], axis=0).min()
    return bool(distances.max() < _SAME_PLACE * smallest)
