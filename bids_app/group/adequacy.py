"""Whether a model has enough participants, and whether it can be fitted at all: asked before anything runs.

With few participants t has heavy tails: at 1 degree of freedom it has no mean, below 3 no variance, and among thousands
of voxels or regions some value is huge by chance. Results of such models are no evidence.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from bids_app.errors import QsmAppError
from bids_app.group.formulas import parse_formula
from bids_app.group.statistics import RESPONSES, culprit, design_of
from bids_app.group.tables import KEYS, Covariates, Run

if TYPE_CHECKING:
    import pandas as pd

#: A model of fewer participants is fitted only where that is asked for (``--small-groups``).
MIN_PARTICIPANTS = 10
#: Fewer degrees of freedom are never enough: below, t has no finite variance.
MIN_DF = 3


def min_participants(small_groups: bool) -> int:
    """Return how many participants a model needs."""
    return 0 if small_groups else MIN_PARTICIPANTS


def refusal(participants: int, coefficients: int, small_groups: bool) -> str:
    """Return why a model has too few participants; empty if they are enough."""
    df = participants - coefficients
    if df < MIN_DF:
        return (
            f"{participants} participants leave {max(df, 0)} degrees of freedom for {coefficients} coefficients, and "
            f"{MIN_DF} are needed at least: use fewer terms, or more participants"
        )
    if participants < MIN_PARTICIPANTS and not small_groups:
        return (
            f"{participants} participants are too few for a model: {MIN_PARTICIPANTS} are needed, or say "
            "--small-groups and treat the results as exploratory"
        )
    return ""


def caution(participants: int, df: float) -> str:
    """Return the warning that goes with a model of few participants; empty for others."""
    if participants >= MIN_PARTICIPANTS:
        return ""
    return (
        f"the model has {participants} participants and {df:g} degrees of freedom: intervals are wide, p values rest "
        "on normal residuals, and large t arise by chance; treat its results as exploratory, not as evidence"
    )


def model_problem(
    formula: str, runs: Sequence[Run], covariates: Covariates, columns: Collection[str], small_groups: bool
) -> str:
    """Return why a model cannot be fitted to these runs; empty if it can, as far as covariates say.

    Parameters
    ----------
    formula : str
        The model.
    runs : sequence of Run
        Whom it would be fitted to.
    covariates : Covariates
        Columns of participants.tsv and sessions.tsv.
    columns : collection of str
        Columns that the tables of regions have.
    small_groups : bool
        Whether fewer than ``MIN_PARTICIPANTS`` are allowed.
    """
    response, *terms = parse_formula(formula).names
    values = {*columns, *(short for short, name in RESPONSES.items() if name in columns)}
    if response not in values | covariates.columns.keys():
        names = ", ".join(name for name in RESPONSES if name in values) or "columns of the table of regions"
        return f"there is no value {response!r} to explain; there are {names}"
    for name in terms:
        if name not in values | covariates.columns.keys() | KEYS.keys():
            names = ", ".join(covariates.columns) or "none"
            return f"there is no column {name!r} in participants.tsv or sessions.tsv; the columns are {names}"
    try:
        participants, coefficients = _size(formula, runs, covariates, values)
    except QsmAppError as error:
        return str(error)
    return refusal(participants, coefficients, small_groups)


def _size(formula: str, runs: Sequence[Run], covariates: Covariates, values: Collection[str]) -> tuple[int, int]:
    """Return the numbers of participants and of coefficients, for made-up values of everything that is measured."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = [run.keys | covariates.of(run) for run in runs]
    data = pd.DataFrame(rows).apply(_numbers)
    measured = {name: rng.normal(size=len(rows)) + 5 for name in values if name not in covariates.columns}
    model = design_of(data.assign(**measured), formula)
    names, matrix = list(model.exog_names), np.asarray(model.exog, float)
    if np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        participants = int(data.loc[model.data.row_labels, "participant_id"].nunique())
        if participants > matrix.shape[1]:
            raise QsmAppError(f"its {culprit(names, matrix)}")
    return int(data.loc[model.data.row_labels, "participant_id"].nunique()), matrix.shape[1]


def _numbers(column: "pd.Series[str]") -> "pd.Series[str]":
    import pandas as pd

    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column
