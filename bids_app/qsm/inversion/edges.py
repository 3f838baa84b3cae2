"""Edges of the magnitude, across which a susceptibility map may jump."""

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid


def edge_bits(image: FloatArray, inside: BoolArray, grid: Grid, share: float) -> npt.NDArray[np.uint8]:
    """Bits 1, 2, 4 where the forward difference along x, y, z is among the largest ``share`` inside the object.

    One threshold in units per mm serves the three axes, as an edge has no axis.
    """
    steps = np.empty((3, *image.shape), np.float32)
    for axis, size in enumerate(grid.voxel_size):
        steps[axis] = np.abs(np.roll(image, -1, axis) - image) / np.float32(size)
    bits = np.zeros(image.shape, np.uint8)
    if share <= 0:
        return bits
    threshold = np.quantile(steps[:, inside], 1 - share)
    for axis in range(3):
        bits |= np.where((steps[axis] > threshold) & inside, np.uint8(1 << axis), np.uint8(0))
    return bits
