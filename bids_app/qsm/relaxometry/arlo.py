"""R2* by auto-regression on linear operations (ARLO)."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.method import Method, Relaxometry
from bids_app.qsm.relaxometry.decay import Relaxation, RelaxationParams, fit_decay


def r2star_arlo(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
    noise: float = 0.0,
) -> Relaxation:
    """R2* by auto-regression on linear operations (ARLO); needs three or more equally spaced echoes.

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
    noise : float
        Standard deviation of the noise of the real and imaginary parts, in units of the magnitude; its power is taken
        off the squared magnitude, and echoes in the noise are left out (three, or two for a line, stay). 0: unknown.

    Raises
    ------
    ValueError
        If shapes differ or there is one echo.

    References
    ----------
    Pei et al. 2015, 10.1002/mrm.25137; noise power: Gudbjartsson and Patz 1995, 10.1002/mrm.1910340618.
    """
    return fit_decay(magnitude, echo_times, mask, params, noise, arlo=arlo_applies(echo_times))


def arlo_applies(echo_times: Sequence[float]) -> bool:
    """Whether there are three or more echoes with equal spacing (to 1 %)."""
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
        "with the noise floor of the magnitude [gudbjartsson1995]{parameters}."
    ),
    min_echoes=3,
)
