"""Statistics of regional values: descriptive tables, and one linear model for every region.

Where participants were measured more than once the model has a random intercept for each of them (REML), and the
degrees of freedom are split between and within participants (Schluchter & Elashoff 1990);
else it is ordinary least squares. False discovery rate over regions: Benjamini & Hochberg 1995,
10.1111/j.2517-6161.1995.tb02031.x.
"""

import csv
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bids_app.errors import QsmAppError
from bids_app.group.formulas import functions, parse_formula
from bids_app.group.mixed_model import between_within, fit_mixed
from bids_app.group.model_errors import explained

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, object]

#: Short names of a model's response.
RESPONSES = {
    "chi": "chi_mean",
    "r2star": "r2star_mean",
    "r2prime": "r2prime_mean",
    "chi_paramagnetic": "chi_paramagnetic_mean",
    "chi_diamagnetic": "chi_diamagnetic_mean",
    "volume": "volume_mm3",
}
REGION = ("index", "name", "hemisphere")
#: Residuals below this part of the values' spread come from rounding.
EXACT = 1e-4
MEASURES = (
    "chi_mean",
    "chi_median",
    "r2star_mean",
    "r2prime_mean",
    "chi_paramagnetic_mean",
    "chi_diamagnetic_mean",
    "volume_mm3",
)
_MODEL_COLUMNS = (
    "term",
    "estimate",
    "ci_low",
    "ci_high",
    "t",
    "df",
    "p",
    "p_fdr",
    "significant",
    "effect_sd",
    "partial_r",
    "observations",
    "participants",
    "method",
    "note",
)


def read_long(path: Any) -> "pd.DataFrame":
    """Return the long table of a group."""
    import pandas as pd

    names = dict.fromkeys(("participant_id", "session_id", "run", "space", "name", "hemisphere"), str)
    data = pd.read_csv(
        path, sep="\t", dtype=names, keep_default_na=False, na_values=["n/a", ""], quoting=csv.QUOTE_NONE
    )
    data["hemisphere"] = data["hemisphere"].fillna("n/a")
    return data.assign(**{short: data[name] for short, name in RESPONSES.items() if name in data})


def regions_of(data: "pd.DataFrame") -> Iterator[tuple[Row, "pd.DataFrame"]]:
    """Give every region and its rows, by number (of a manual segmentation once for each space)."""
    names = keys_of(data)
    for key, rows in data.groupby(names, sort=True, dropna=False):
        region: Row = dict(zip(names, key, strict=True))
        yield region | {"index": int(str(region["index"]))}, rows


def keys_of(data: "pd.DataFrame") -> list[str]:
    """Return the columns that name a region: its space too where the table has it."""
    return [*(["space"] if "space" in data else []), *REGION]


def describe(data: "pd.DataFrame") -> list[Row]:
    """Return number, mean, standard deviation, median, extremes of every region and measure over all runs."""
    described = []
    for region, rows in regions_of(data):
        for measure in (name for name in MEASURES if name in rows):
            values = rows[measure].dropna().to_numpy(np.float64)
            some, many = values.size > 0, values.size > 1
            described.append(
                region
                | {
                    "measure": measure,
                    "runs": int(values.size),
                    "runs_without": int(len(rows) - values.size),
                    "participants": int(rows.loc[rows[measure].notna(), "participant_id"].nunique()),
                    "mean": float(values.mean()) if some else None,
                    "std": float(values.std(ddof=1)) if many else None,
                    "df": int(values.size) - 1 if some else None,
                    "median": float(np.median(values)) if some else None,
                    "min": float(values.min()) if some else None,
                    "max": float(values.max()) if some else None,
                }
            )
    return described


def fit(
    data: "pd.DataFrame",
    formula: str,
    confidence: float = 0.95,
    level: float = 0.05,
    min_participants: int = 0,
    min_df: int = 1,
) -> tuple[list[Row], list[str]]:
    """Fit one model for every region and return a row for every region and term, and warnings.

    Parameters
    ----------
    data : DataFrame
        The long table, as :func:`read_long` gives it.
    formula : str
        ``chi ~ age + sex + group``; the response may be ``chi``, ``r2star``, ``volume`` or any column of values.
    confidence, level : float
        Confidence of the intervals; false discovery rate at which ``significant`` is set.
    min_participants, min_df : int
        A region with fewer participants or degrees of freedom has no model.

    Raises
    ------
    QsmAppError
        If no region can be fitted: a column is missing, or constant, or the formula cannot be read.
    """
    rows: list[Row] = []
    notes: dict[str, list[str]] = {}
    dropped: set[str] = set()
    for region, part in regions_of(data):
        try:
            estimates, left_out = _fit_region(part, formula, confidence, min_participants, min_df)
            dropped |= left_out
        except QsmAppError as error:
            estimates = [dict.fromkeys(_MODEL_COLUMNS) | {"note": str(error)}]
            notes.setdefault(str(error), []).append(words_of(region))
        rows += [region | row for row in estimates]
    if not any(row["estimate"] is not None for row in rows):
        reason = next(iter(notes), "there is no region")
        raise QsmAppError(f'the model "{formula}" cannot be fitted: {reason}')
    _correct(rows, level)
    sentences = [
        f"{len(names)} regions have no model: {reason}: {', '.join(names[:5])}" for reason, names in notes.items()
    ]
    if dropped:
        names = ", ".join(sorted(dropped)[:10])
        sentences.append(f"{len(dropped)} runs lack a value in some region and are left out of its model: {names}")
    return rows, sentences


def words_of(region: Any) -> str:
    """Return ``putamen L``; the name alone where a region has no side."""
    side = region["hemisphere"]
    return str(region["name"]) if side in (None, "n/a") else f"{region['name']} {side}"


def _fit_region(
    part: "pd.DataFrame", formula: str, confidence: float, min_participants: int, min_df: int
) -> tuple[list[Row], set[str]]:
    from scipy import stats

    model = design_of(part, formula)
    names, x, y = list(model.exog_names), np.asarray(model.exog, float), np.asarray(model.endog, float)
    used = part.loc[model.data.row_labels]
    left_out = set(part["run"]) - set(used["run"])
    people = used["participant_id"].to_numpy()
    count = len(set(people))
    rank = int(np.linalg.matrix_rank(x))
    if rank < x.shape[1]:
        raise QsmAppError(f"its {culprit(names, x)}")
    _refuse(y, x, count, max(min_participants, rank + min_df))
    repeated = count < len(people)
    if repeated:
        beta, error, spread = fit_mixed(y, x, people)
        df = between_within(x, people)
    else:
        result = model.fit()
        beta, error = np.asarray(result.params), np.asarray(result.bse)
        spread, df = float(np.sqrt(result.mse_resid)), np.full(len(beta), float(len(y) - rank))
    rows = []
    for k, name in enumerate(names):
        half = float(stats.t.ppf(0.5 + confidence / 2, df[k]) * error[k])
        t = float(beta[k] / error[k])
        rows.append(
            {
                "term": name,
                "estimate": float(beta[k]),
                "ci_low": float(beta[k] - half),
                "ci_high": float(beta[k] + half),
                "t": t,
                "df": float(df[k]),
                "p": float(2 * stats.t.sf(abs(t), df[k])),
                "p_fdr": None,
                "significant": None,
                "effect_sd": float(beta[k] / spread) if spread > 0 else None,
                "partial_r": float(t / np.sqrt(t * t + df[k])),
                "observations": len(y),
                "participants": count,
                "method": "mixed" if repeated else "ols",
                "note": None,
            }
        )
    return rows, left_out


def _refuse(y: npt.NDArray[np.float64], x: npt.NDArray[np.float64], count: int, least: int) -> None:
    """Refuse what has fewer than ``least`` participants, or no residuals to compare with."""
    rank = x.shape[1]
    if count <= rank:
        raise QsmAppError(f"{count} participants are too few for {rank} coefficients")
    if count < least:
        raise QsmAppError(f"{count} participants have all values, and {least} are needed for {rank} coefficients")
    if np.ptp(y) == 0:
        raise QsmAppError("all values are the same")
    if _is_exact(y, x):
        raise QsmAppError("the model fits all values exactly, and there is no residual to compare with")


def _is_exact(y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> bool:
    """Return whether almost nothing is left of the values when the model is removed: t would be without bounds."""
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return bool(np.linalg.norm(rest) < EXACT * np.linalg.norm(y - y.mean()))


def design_of(part: "pd.DataFrame", formula: str) -> Any:
    """Return the ordinary model of a formula, rows with missing values left out."""
    import statsmodels.formula.api as smf
    from patsy import EvalEnvironment

    columns = [str(name) for name in part if str(name) not in ("participant_id", "session_id", "run", *REGION)]
    for name in parse_formula(formula).names:
        if name not in part:
            raise QsmAppError(f"name {name!r} is not defined; the columns are {', '.join(columns)}")
    for name in parse_formula(formula).names[1:]:
        if part[name].dropna().nunique() == 1:  # a factor of one level would leave the model without a word
            raise QsmAppError(f"column {name} is the same for all participants")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = smf.ols(formula, data=part, eval_env=EvalEnvironment([functions()]))
    except Exception as error:  # the formula is the user's: anything may be wrong with it
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        empty = sorted(str(name) for name in part if str(name) in formula and part[name].isna().all())
        if empty:
            text = f"no run has a value of {', '.join(empty)}: add the values to participants.tsv or sessions.tsv"
        else:
            text = explained(text)
        raise QsmAppError(text) from error
    return model


def culprit(names: list[str], x: npt.NDArray[np.float64]) -> str:
    """Say which column follows from those before it."""
    for k in range(1, x.shape[1]):
        if np.linalg.matrix_rank(x[:, : k + 1]) < k + 1:
            if np.ptp(x[:, k]) == 0:
                return f"column {names[k]} is the same for all participants"
            return f"column {names[k]} follows from the others ({', '.join(names[:k])})"
    return "columns depend on each other"


def _probability(row: Row) -> float:
    p = row["p"]
    assert isinstance(p, float)  # a row with a term has been fitted
    return p


def _correct(rows: list[Row], level: float) -> None:
    """Fill in what the false discovery rate says of every term but the intercept, over all regions."""
    for term, space in {(row["term"], row.get("space")) for row in rows if row["term"] not in (None, "Intercept")}:
        chosen = [row for row in rows if (row["term"], row.get("space")) == (term, space)]
        for row, value in zip(chosen, benjamini_hochberg([_probability(row) for row in chosen]), strict=True):
            row["p_fdr"], row["significant"] = value, value < level


def benjamini_hochberg(p: list[float]) -> list[float]:
    """Return p values adjusted for the false discovery rate."""
    values = np.asarray(p, float)
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum.accumulate(np.minimum(values[order] * len(values) / ranks, 1.0))
    return [float(value) for value in adjusted]
