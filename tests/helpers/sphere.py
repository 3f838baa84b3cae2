"""A homogeneous sphere and its field by formula, so that no forward model of ours is involved."""

import numpy as np


def sphere_and_field(grid, susceptibility, radius):
    """Return the sphere (ppm), its analytic field (ppm) and the distance of each voxel to its centre (mm).

    The field is 0 inside, by the Lorentz correction, and that of a dipole outside.
    """
    axes = [(np.arange(n) - n // 2) * v for n, v in zip(grid.shape, grid.voxel_size, strict=True)]
    place = np.stack(np.meshgrid(*axes, indexing="ij"))
    distance = np.sqrt((place**2).sum(axis=0))
    along = np.tensordot(grid.b0_dir, place, 1) / np.maximum(distance, 1e-6)
    outside = (radius / np.maximum(distance, radius)) ** 3 * (3 * along**2 - 1) / 3
    inside = distance < radius
    field = susceptibility * np.where(inside, 0, outside)
    return (susceptibility * inside).astype(np.float32), field.astype(np.float32), distance
