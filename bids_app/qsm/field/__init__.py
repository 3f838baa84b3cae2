"""Phase of the echoes to the total field, and corrections of that field."""

from bids_app.qsm.field.linear import LinearFitParams, fit_linear
from bids_app.qsm.field.nonlinear import NonlinearFitParams, fit_nonlinear
from bids_app.qsm.results import FieldFit

__all__ = ["FieldFit", "LinearFitParams", "NonlinearFitParams", "fit_linear", "fit_nonlinear"]
