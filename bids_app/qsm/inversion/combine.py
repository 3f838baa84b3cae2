"""Last touches of a susceptibility map: the two-pass combination and the zero of the scale."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray, as_mask


def two_pass(
    chi_reliable: FloatArray, mask_reliable: BoolArray, chi_filled: FloatArray, mask_filled: BoolArray
) -> FloatArray:
    """Susceptibility of the reliable mask's inversion inside it, of the filled mask's elsewhere, 0 outside both.

    References
    ----------
    Stewart et al. 2022, 10.1002/mrm.29048.
    """
    filled = np.where(mask_filled, chi_filled, np.float32(0))
    return np.where(mask_reliable, chi_reliable, filled).astype(np.float32)


def reference(chi: FloatArray, mask: BoolArray, region: BoolArray | None = None) -> tuple[FloatArray, float]:
    """Subtract the mean over a reference region from a map.

    Parameters
    ----------
    chi : float32, ``[x, y, z]``
        Susceptibility in ppm.
    mask : bool, ``[x, y, z]``
        Where the map is valid.
    region : bool, ``[x, y, z]``, optional
        Reference region; the whole mask without it.

    Returns
    -------
    chi : float32, ``[x, y, z]``
        Map with mean 0 in the region; 0 outside the mask.
    value : float
        Mean that was subtracted, in ppm.

    Raises
    ------
    ValueError
        If shapes differ, or the region has no voxel inside the mask.

    Examples
    --------
    >>> import numpy as np
    >>> chi, value = reference(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.ones((2, 2, 2), bool))
    >>> value, float(chi.max())
    (3.5, 3.5)
    """
    shapes = [np.shape(array) for array in (chi, mask, region) if array is not None]
    if len(set(shapes)) > 1:
        raise ValueError(f"map, mask and region differ in shape: {', '.join(map(str, shapes))}")
    mask, region = as_mask(mask), None if region is None else as_mask(region)
    where = mask if region is None else mask & region
    if not where.any():
        raise ValueError("the reference region has no voxel inside the mask")
    value = float(np.mean(chi[where], dtype=np.float64))
    return np.where(mask, chi - np.float32(value), np.float32(0)).astype(np.float32), value
