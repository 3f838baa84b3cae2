"""R2* by a weighted line through the logarithm of the magnitude."""

from collections.abc import Sequence

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.method import Method, Relaxometry
from bids_app.qsm.relaxometry.decay import RelaxationParams, fit_decay
from bids_app.qsm.results import Relaxation


def r2star_loglinear(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
    noise: float = 0.0,
) -> Relaxation:
    """Estimate R2* by a line through the logarithm of the magnitude.

    log magnitude = log S0 - R2* TE, every echo weighted by its squared magnitude; the echoes may have any spacing.

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude.
    echo_times : sequence of float
        Echo times in s.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere and where a value is not finite.
    params : RelaxationParams
        Limits of R2*.
    noise : float
        Standard deviation of the noise of the real and imaginary parts, in units of the magnitude; 0: unknown.

    Returns
    -------
    Relaxation
        R2* in 1/s, T2* in s and S0 in units of the magnitude, each ``[x, y, z]``.

    Raises
    ------
    ValueError
        If shapes differ or there is one echo.

    References
    ----------
    Noise power: Gudbjartsson and Patz 1995, 10.1002/mrm.1910340618.

    Examples
    --------
    >>> import numpy as np
    >>> times = (0.005, 0.010, 0.020)
    >>> decay = np.stack([np.full((2, 2, 2), 100 * np.exp(-30 * t), np.float32) for t in times])
    >>> round(float(r2star_loglinear(decay, times, np.ones((2, 2, 2), bool)).r2star[0, 0, 0]), 1)
    30.0
    """
    return fit_decay(magnitude, echo_times, mask, params, noise, arlo=False)


LOGLINEAR: Relaxometry[RelaxationParams] = Method(
    name="loglinear",
    kind="relaxometry",
    label="Weighted log-linear fit",
    function=r2star_loglinear,
    params=RelaxationParams,
    sentence=(
        "R2* and T2* were estimated by a weighted linear fit to the logarithm of the magnitude, "
        "which accounts for the noise floor [gudbjartsson1995]{parameters}."
    ),
    min_echoes=2,
)
