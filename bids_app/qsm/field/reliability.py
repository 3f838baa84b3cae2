"""From the field fit's standard error and residual to weights of the data."""

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.mask.morphology import fill_holes

#: Weights are clipped here: a few very bright voxels must not own the fit.
HIGHEST = np.float32(2)
#: Residuals this many times the expected ones are no noise: flow, water and fat in one voxel, wrong unwrapping.
TOLERATED = np.float32(3)
#: Smaller residuals than this are harmless, even where there is no noise and every misfit is many times the expected.
HARMLESS_RAD = np.float32(0.05)
#: Where they are this many times the expected ones, and this large in rad, the phases do not determine the field: near
#: air the signal is dephased within the voxel. One number alone would take noise for it, or what is far above noise and
#: still harmless. On simulated heads 3 to 6 times and 0.1 to 0.2 rad give the same maps. Inside the object (veins, gas
#: whose hole was filled) a little weight is better than none.
GROSS, GROSS_RAD = np.float32(4), np.float32(0.15)
#: A signal above this part of the median one is not dephased: a misfit near a strong source is still a field.
DEPHASED = np.float32(0.6)
#: Voxels whose error is more than this many times that of the strongest signal's are air: they set no median. Air
#: without noise has a coherent phase (side lobes of the truncated k-space), and can be most of the volume.
FAINT = np.float32(20)
#: Voxels that are enough for the median of the errors.
_SAMPLE = 200_000


def reliability_weights(sd_hz: FloatArray, mask: BoolArray, residual_rad: FloatArray | None = None) -> FloatArray:
    """Weights of a field map: about 1 where it is as good as in the median voxel, lower where it is worse.

    The inverse standard error, divided by its median over the mask and clipped at 2. Voxels that are much worse than
    those with most signal are air and do not count in the median. Where the fit's residual is more than 0.05 rad and
    three times what the standard error lets expect, the model does not hold and the weight falls in proportion. Where
    it is above 0.15 rad and four times that, the signal is dephased, and the voxel lies at the mask boundary, the
    weight is 0.

    Parameters
    ----------
    sd_hz : float32, ``[x, y, z]``
        Standard error of the field in Hz, known up to a factor; 0 or not finite where there is no fit.
    mask : bool, ``[x, y, z]``
        Object; weights are 0 elsewhere and where there is no fit.
    residual_rad : float32, ``[x, y, z]``, optional
        Weighted root-mean-square residual of the fit in rad.

    Returns
    -------
    weights : float32, ``[x, y, z]``, 0 to 2.
    """
    known = mask & np.isfinite(sd_hz) & (sd_hz > 0)
    weights = np.zeros(mask.shape, np.float32)
    if not known.any():
        weights[mask] = 1  # nothing is known: every voxel counts the same
        return weights
    residual = None if residual_rad is None else residual_rad[known]
    weights[known], far_off = relative_reliability(sd_hz[known], residual)
    if far_off.any():
        gross = np.zeros_like(mask)
        gross[known] = far_off
        weights[mask & ~fill_holes(mask & ~gross)] = 0
    return weights


def relative_reliability(sd: FloatArray, residual: FloatArray | None) -> tuple[FloatArray, BoolArray]:
    """Return the weights of some voxels by their errors and residuals alone, and where the phases determine no field.

    Arguments as of :func:`reliability_weights`, of any one shape; every error is above 0.
    """
    signal = sd <= FAINT * _least_error(sd)
    inverse, far_off = np.float32(np.median(sd[signal])) / sd, np.zeros(sd.shape, bool)
    if residual is not None:
        misfit = np.nan_to_num(residual, posinf=1e30)
        ratio = misfit / sd  # both grow with noise over signal: flat where the model holds
        typical = np.float32(np.median(ratio[signal]))
        if typical > 0:
            far_off = (ratio > GROSS * typical) & (misfit > GROSS_RAD) & (inverse < DEPHASED)
            tolerated = np.maximum(TOLERATED * typical * sd, HARMLESS_RAD)
            inverse *= tolerated / np.maximum(misfit, tolerated)
    return np.minimum(inverse, HIGHEST), far_off


def _least_error(sd: FloatArray) -> np.float32:
    """Return the error of the voxels with most signal: the median of the errors, each weighted by its inverse."""
    ascending = np.sort(sd.reshape(-1)[:: max(1, sd.size // _SAMPLE)])
    share = np.cumsum(1 / ascending, dtype=np.float64)
    return np.float32(ascending[np.searchsorted(share, 0.5 * share[-1])])
