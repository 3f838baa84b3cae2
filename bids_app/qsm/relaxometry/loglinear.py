"""R2* by a weighted line through the logarithm of the magnitude."""

from collections.abc import Sequence

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.method import Method, Relaxometry
from bids_app.qsm.relaxometry.decay import Relaxation, RelaxationParams, fit_decay


def r2star_loglinear(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    params: RelaxationParams = RelaxationParams(),
    noise: float = 0.0,
) -> Relaxation:
    """R2* by a line through the logarithm of the magnitude, weighted by the squared magnitude.

    Arguments and errors as :func:`bids_app.qsm.relaxometry.arlo.r2star_arlo`; the echoes may have any spacing.
    """
    return fit_decay(magnitude, echo_times, mask, params, noise, arlo=False)


LOGLINEAR: Relaxometry[RelaxationParams] = Method(
    name="loglinear",
    kind="relaxometry",
    label="Weighted log-linear fit",
    function=r2star_loglinear,
    params=RelaxationParams,
    sentence=(
        "R2* and T2* were estimated by a weighted fit of the logarithm of the magnitude, with "
        "its noise floor [gudbjartsson1995]{parameters}."
    ),
    min_echoes=2,
)
