"""Total field by a fit to the complex signal of the echoes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.fit import INTERCEPT, INTERCEPT_DOC, SMOOTHING_DOC, EchoData, FieldFit, fit_echoes
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import FieldFitter, Method
from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class NonlinearFitParams(Params):
    """Parameters of the fit to the complex signal."""

    intercept: str = param("auto", choices=INTERCEPT, doc=INTERCEPT_DOC)
    smoothing: float = param(5.0, low=0.0, high=50.0, unit="mm", doc=SMOOTHING_DOC)
    iterations: int = param(30, low=1, high=1000, doc="Most Gauss-Newton iterations in a voxel")
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
    """Fit the complex signal, magnitude * exp(i (intercept + 2 pi field TE)), to the echoes.

    Starts from the line through the unwrapped phase and refines it by Gauss-Newton steps. The signal does not know
    of turns, so that an echo which was unwrapped wrongly does no harm as long as the start is near. Standard error,
    arguments and errors as :func:`bids_app.qsm.field.linear.fit_linear`;
    ``iterations`` of the result is the most that a voxel took.

    References
    ----------
    Liu et al. 2013, 10.1002/mrm.24272.
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
        "The total field was fitted to the complex signal of the echoes by a non-linear fit [liu2013]{parameters}."
    ),
    uses=frozenset({"magnitude"}),
    key="fit_nonlinear",
)
