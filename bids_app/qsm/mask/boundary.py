"""The boundary of a mask where the data are not reliable."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.mask.morphology import fill_holes


def remove_unreliable_boundary(mask: BoolArray, weights: FloatArray | None) -> BoolArray:
    """Remove the voxels without weight that others like them connect with the outside of the mask.

    A field that is wrong at the boundary spreads through the whole object when the background is removed, whatever the
    method. Inside, where tissue surrounds such voxels, they stay.

    Parameters
    ----------
    mask : bool, ``[x, y, z]``
        Object.
    weights : float32, ``[x, y, z]``, optional
        Weights of the field, 0 where nothing is known; without them the mask is returned as it is.

    Returns
    -------
    bool, ``[x, y, z]``
        The reduced mask.

    Raises
    ------
    ValueError
        If no voxel of the mask has weight.
    """
    if weights is None:
        return mask
    known = mask & (weights > 0)
    if mask.any() and not known.any():
        raise ValueError("the weights are zero everywhere in the mask")
    return mask & fill_holes(known) if (known != mask).any() else mask


def known_object(field: FloatArray, mask: BoolArray, grid: Grid, weights: FloatArray | None) -> BoolArray:
    """Check volumes, and return the part of the object whose total field can be used.

    Parameters
    ----------
    field : float32, ``grid.shape``
        Total field; voxels where it is not finite are left out.
    mask : bool, ``grid.shape``
        Object.
    grid : Grid
        Sampling.
    weights : float32, ``grid.shape``, optional
        Weights of the field, as for :func:`remove_unreliable_boundary`.

    Returns
    -------
    bool, ``grid.shape``
        The reduced mask.

    Raises
    ------
    ValueError
        If a shape differs from the grid's, the mask holds other values than 0 and 1, or no voxel of it has weight.
    """
    known = checked_mask(mask, grid, field=field, weights=weights) & np.isfinite(field)
    return remove_unreliable_boundary(known, weights)
