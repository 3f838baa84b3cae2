"""The boundary of a mask where the data are not reliable."""

from bids_app.qsm.arrays import BoolArray, FloatArray
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
