"""The linear model with a random intercept for every participant, where participants were measured more than once."""

import warnings

import numpy as np
import numpy.typing as npt

from bids_app.errors import QsmAppError


def fit_mixed(
    y: npt.NDArray[np.float64], x: npt.NDArray[np.float64], people: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Return coefficients, their errors and the total standard deviation of a random-intercept model."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    scale = float(y.std())  # the optimiser looks for variances near 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a random variance of zero is on the boundary, and a result
            result = MixedLM(y / scale, x, groups=people).fit(reml=True)
    except np.linalg.LinAlgError as error:
        raise QsmAppError("the mixed model is singular") from error
    count = x.shape[1]
    beta, error_of = np.asarray(result.fe_params) * scale, np.asarray(result.bse_fe)[:count] * scale
    if not np.isfinite(error_of).all() or not (error_of > 0).all():
        raise QsmAppError("the mixed model did not converge")
    variance = float(result.scale) + float(np.asarray(result.cov_re).ravel()[0])
    return beta, error_of, scale * float(np.sqrt(variance))


def between_within(x: npt.NDArray[np.float64], people: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return each coefficient's degrees of freedom: of participants, or of runs within them if its column varies so."""
    labels = sorted(set(people))
    rows = [people == label for label in labels]
    within = np.array([any(np.ptp(x[row, k]) > 0 for row in rows) for k in range(x.shape[1])])
    between = max(len(labels) - int((~within).sum()), 1)
    inside = max(len(people) - len(labels) - int(within.sum()), 1)
    return np.where(within, inside, between).astype(float)
