"""R2', the reversible part of the transverse relaxation."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.params import Params, param

#: A difference below zero by more than this many standard deviations is no noise.
_SIGNIFICANT = 2.0


@dataclass(frozen=True)
class R2primeParams(Params):
    """Parameters of R2'."""

    largest: float = param(500.0, low=10.0, high=1e4, unit="1/s", doc="Upper bound of R2'")
    sd_max: float = param(50.0, low=0.5, high=1e4, unit="1/s", doc="Standard deviation above which R2' is not valid")


@dataclass(frozen=True)
class R2prime:
    """R2' and its standard deviation in 1/s, where it is valid, and the share of voxels where R2* is below R2.

    ``negative_share`` counts the valid voxels where R2* - R2 is below zero by more than two standard deviations.
    """

    r2prime: FloatArray
    sd: FloatArray
    valid: BoolArray
    negative_share: float


def r2prime(
    r2star: FloatArray,
    r2: FloatArray,
    mask: BoolArray,
    *,
    r2star_sd: FloatArray | None = None,
    r2_sd: FloatArray | None = None,
    params: R2primeParams = R2primeParams(),
) -> R2prime:
    """Compute R2' = max(R2* - R2, 0) and its standard deviation, sqrt(sd(R2*)^2 + sd(R2)^2).

    Parameters
    ----------
    r2star, r2 : float32, ``[x, y, z]``
        R2*, corrected for macroscopic field gradients, and R2 on the same grid, 1/s.
    mask : bool, ``[x, y, z]``
        Where both are valid.
    r2star_sd, r2_sd : float32, ``[x, y, z]``, optional
        Standard deviations in 1/s; without them that of R2' is 0 (unknown).
    params : R2primeParams
        Largest R2' and largest standard deviation of a valid voxel.

    Returns
    -------
    R2prime

    Raises
    ------
    ValueError
        If shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> star, r2 = np.full((1, 1, 2), 30, np.float32), np.array([[[20, 31]]], np.float32)
    >>> r2prime(star, r2, np.ones((1, 1, 2), bool)).r2prime.tolist()
    [[[10.0, 0.0]]]
    """
    if not r2star.shape == r2.shape == mask.shape:
        raise ValueError(f"shapes differ: R2* {r2star.shape}, R2 {r2.shape}, mask {mask.shape}")
    zero = np.zeros_like(r2star)
    variance = (zero if r2star_sd is None else r2star_sd**2) + (zero if r2_sd is None else r2_sd**2)
    sd = np.sqrt(variance).astype(np.float32)
    difference = (r2star - r2).astype(np.float32)
    valid = mask & np.isfinite(difference) & np.isfinite(sd) & (r2 > 0) & (sd <= params.sd_max)
    below = valid & (difference < -_SIGNIFICANT * sd) & (difference < 0)
    share = int(np.count_nonzero(below)) / max(int(np.count_nonzero(valid)), 1)
    values = np.where(valid, np.clip(difference, 0, np.float32(params.largest)), np.float32(0))
    return R2prime(values.astype(np.float32), np.where(valid, sd, np.float32(0)), valid, share)
