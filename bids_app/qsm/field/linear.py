"""Total field as the slope of a weighted line through the unwrapped phase of the echoes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.fit import INTERCEPT, INTERCEPT_DOC, SMOOTHING_DOC, EchoData, fit_echoes
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import FieldFitter, Method
from bids_app.qsm.params import Params, param
from bids_app.qsm.results import FieldFit


@dataclass(frozen=True)
class LinearFitParams(Params):
    """Parameters of the weighted line fit."""

    intercept: str = param("auto", choices=INTERCEPT, doc=INTERCEPT_DOC)
    smoothing: float = param(5.0, low=0.0, high=50.0, unit="mm", doc=SMOOTHING_DOC)


def fit_linear(
    unwrapped: FloatArray,
    magnitude: FloatArray | None,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    grid: Grid | None = None,
    params: LinearFitParams = LinearFitParams(),
) -> FieldFit:
    """Fit the total field to the unwrapped phase of the echoes by a weighted line.

    phase = intercept + 2 pi field TE, every echo weighted by its squared magnitude.

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
    params : LinearFitParams
        Kind of the intercept, and its smoothing in mm.

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
    Phase noise is sigma / magnitude, so that squared magnitudes are the inverse variances up to the number sigma^2.
    It is estimated from the residuals of all voxels of the mask (their median, robust against voxels in which the
    model fails). Without degrees of freedom (one echo, or two with a free intercept) the standard error is known up
    to a factor only: sigma^2 is then 1.

    The phase at echo time zero that remains is smooth: a smooth intercept is the weighted mean of the free one over
    a few mm, removed before a line through zero is fitted. A free one doubles the noise of the field.

    References
    ----------
    Robinson et al. 2017, 10.1002/nbm.3601.

    Examples
    --------
    >>> import numpy as np
    >>> times = (0.005, 0.010, 0.015)
    >>> phase = np.stack([np.full((2, 2, 2), 2 * np.pi * 10 * t + 0.3, np.float32) for t in times])
    >>> fit = fit_linear(phase, None, times, np.ones((2, 2, 2), bool))
    >>> round(float(fit.field_hz[0, 0, 0]), 3), round(float(fit.intercept_rad[0, 0, 0]), 3)
    (10.0, 0.3)
    """
    return fit_echoes(
        EchoData(unwrapped, magnitude, echo_times, mask, grid), params.intercept, params.smoothing, (0.0, 0.0)
    )


LINEAR: FieldFitter[LinearFitParams] = Method(
    name="linear",
    kind="field_fit",
    label="Weighted linear fit",
    function=fit_linear,
    params=LinearFitParams,
    sentence=(
        "The total field was estimated by a linear fit to the unwrapped phase of the echoes, "
        "weighted by squared magnitude and echo time [robinson2017]{parameters}."
    ),
    uses=frozenset({"magnitude"}),
    key="fit_linear",
)
