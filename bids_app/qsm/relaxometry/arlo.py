"""R2* by auto-regression on linear operations (ARLO)."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.method import Method, Relaxometry
from bids_app.qsm.relaxometry.decay import RelaxationParams, fit_decay
from bids_app.qsm.results import Relaxation


def r2star_arlo(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
    noise: float = 0.0,
) -> Relaxation:
    """Estimate R2* by auto-regression on linear operations (ARLO), for three or more equally spaced echoes.

    The integral of a decay over two echo spacings by Simpson's rule equals T2* times the difference of its ends; T2* is
    the least-squares solution over all triples of echoes.

    Other echo trains are fitted by :func:`bids_app.qsm.relaxometry.loglinear.r2star_loglinear`, which has no such need;
    the caller can see from the echo times which of the two it is (:func:`arlo_applies`).

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
        Standard deviation of the noise of the real and imaginary parts, in units of the magnitude; its power is
        subtracted from the squared magnitude, and echoes in the noise are left out (three, or two for a line, stay).
        0: unknown.

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
    Pei et al. 2015, 10.1002/mrm.25137; noise power: Gudbjartsson and Patz 1995, 10.1002/mrm.1910340618.

    Examples
    --------
    >>> import numpy as np
    >>> times = (0.005, 0.010, 0.015, 0.020)
    >>> decay = np.stack([np.full((2, 2, 2), 100 * np.exp(-30 * t), np.float32) for t in times])
    >>> round(float(r2star_arlo(decay, times, np.ones((2, 2, 2), bool)).r2star[0, 0, 0]), 1)
    30.0
    """
    return fit_decay(magnitude, echo_times, mask, params, noise, arlo=arlo_applies(echo_times))


def arlo_applies(echo_times: Sequence[float]) -> bool:
    """Return whether there are three or more echoes with equal spacing (to 1 %).

    Parameters
    ----------
    echo_times : sequence of float
        Echo times in s.

    Returns
    -------
    bool
        Whether :func:`r2star_arlo` can fit them.

    Examples
    --------
    >>> arlo_applies((0.005, 0.010, 0.015)), arlo_applies((0.005, 0.010, 0.020))
    (True, False)
    """
    steps = np.diff(np.asarray(echo_times, np.float64))
    return len(steps) >= 2 and bool(np.all(np.abs(steps - steps[0]) <= 0.01 * abs(steps[0])))


ARLO: Relaxometry[RelaxationParams] = Method(
    name="arlo",
    kind="relaxometry",
    label="ARLO",
    function=r2star_arlo,
    params=RelaxationParams,
    sentence=(
        "R2* and T2* were estimated by auto-regression on linear operations (ARLO) [pei2015], "
        "which accounts for the noise floor of the magnitude [gudbjartsson1995]{parameters}."
    ),
    min_echoes=3,
)
