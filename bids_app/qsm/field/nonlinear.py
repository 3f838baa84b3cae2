"""Total field by a fit to the complex signal of the echoes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.fit import INTERCEPT, INTERCEPT_DOC, SMOOTHING_DOC, EchoData, fit_echoes
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import FieldFitter, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import FieldFit


@dataclass(frozen=True)
class NonlinearFitParams(Params):
    """Parameters of the fit to the complex signal."""

    intercept: str = param("auto", choices=INTERCEPT, doc=INTERCEPT_DOC)
    smoothing: float = param(5.0, low=0.0, high=50.0, unit="mm", doc=SMOOTHING_DOC)
    iterations: int = param(30, low=1, high=1000, doc="Maximum number of Gauss-Newton iterations in a voxel")
    tolerance: float = param(1e-4, low=0.0, high=0.1, unit="rad", doc="Change of the last echo's phase that ends them")


def fit_nonlinear(
    unwrapped: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    grid: Grid | None = None,
    params: NonlinearFitParams = NonlinearFitParams(),
) -> FieldFit:
    """Fit the total field to the complex signal of the echoes.

    signal = magnitude exp(i (intercept + 2 pi field TE)), by Gauss-Newton steps that start from the line fit.

    Parameters
    ----------
    unwrapped : float32, ``[echo, x, y, z]``
        Unwrapped phase in rad, consistent over echoes.
    magnitude : float32, like ``unwrapped``, optional
        Without it all echoes weigh the same.
    echo_times : sequence of float
        Echo times in s.
    mask : bool, ``[x, y, z]``
        Where to fit; results are 0 elsewhere and where a value is not finite.
    grid : Grid, optional
        Voxel size for a smooth intercept; without it ``auto`` is a free one.
    params : NonlinearFitParams
        Kind of the intercept and its smoothing in mm, and the stopping rule.

    Returns
    -------
    FieldFit
        Field and its standard error in Hz, intercept and residual in rad, each ``[x, y, z]``, and the iterations.

    Raises
    ------
    ValueError
        If shapes differ, a free or smooth intercept is asked for with one echo, or a smooth one without a grid.

    Notes
    -----
    The signal does not depend on multiples of 2 pi, so that an echo that was unwrapped wrongly does no harm as long
    as the start is near. The standard error is that of :func:`bids_app.qsm.field.linear.fit_linear`.

    References
    ----------
    Liu et al. 2013, 10.1002/mrm.24272.

    Examples
    --------
    >>> import numpy as np
    >>> times = (0.005, 0.010, 0.015)
    >>> phase = np.stack([np.full((2, 2, 2), 2 * np.pi * 10 * t + 0.3, np.float32) for t in times])
    >>> fit = fit_nonlinear(phase, None, times, np.ones((2, 2, 2), bool))
    >>> round(float(fit.field_hz[0, 0, 0]), 3), round(float(fit.intercept_rad[0, 0, 0]), 3)
    (10.0, 0.3)
    """
    return fit_echoes(
        EchoData(unwrapped, magnitude, echo_times, mask, grid),
        params.intercept,
        params.smoothing,
        (float(params.iterations), params.tolerance),
    )


NONLINEAR: FieldFitter[NonlinearFitParams] = Method(
    name="nonlinear",
    kind="field_fit",
    label="Non-linear fit",
    function=fit_nonlinear,
    params=NonlinearFitParams,
    sentence=(
        "The total field was estimated by a non-linear fit to the complex signal of the echoes [liu2013]{parameters}."
    ),
    uses=frozenset({"magnitude"}),
    key="fit_nonlinear",
)
