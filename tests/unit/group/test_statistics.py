"""Models of every region: planted effects come back, none are invented, and what cannot be fitted says why."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.errors import QsmAppError
from bids_app.group import statistics
from bids_app.group.outliers import outliers


def cohort(count=40, age_effect=0.001, group_effect=0.02, sessions=1, seed=0, regions=6, between=0.01):
    """Return a long table; effects are planted in the first two regions alone."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(count):
        age, group = rng.uniform(20, 80), ("control", "patient")[person % 2]
        offsets = rng.normal(0, between, regions)
        for session in range(sessions):
            for region in range(regions):
                planted = region < 2
                chi = 0.05 + offsets[region] + planted * (age_effect * (age + session) + group_effect * (person % 2))
                rows.append(
                    {
                        "participant_id": f"sub-{person:02d}",
                        "session_id": f"ses-{session}",
                        "run": f"{person}-{session}",
                        "age": age + session,
                        "group": group,
                        "index": region + 1,
                        "name": f"r{region}",
                        "hemisphere": "L",
                        "chi_mean": chi + rng.normal(0, 0.004),
                        "chi": 0.0,
                    }
                )
    data = pd.DataFrame(rows)
    return data.assign(chi=data["chi_mean"])


def picked(rows, term, planted=True):
    return [row for row in rows if row["term"] == term and (row["index"] <= 2) == planted]


@pytest.mark.parametrize("sessions", [1, 2])
def test_planted_effects_come_back_inside_their_intervals(sessions):
    rows, warnings = statistics.fit(cohort(sessions=sessions), "chi ~ age + group")
    assert not warnings
    assert {row["method"] for row in rows} == {"ols" if sessions == 1 else "mixed"}
    for term, truth in (("age", 0.001), ("group[T.patient]", 0.02)):
        for row in picked(rows, term):
            assert row["ci_low"] < truth < row["ci_high"]
            assert row["significant"]
        assert not any(row["significant"] for row in picked(rows, term, planted=False))


@pytest.mark.parametrize("sessions", [1, 2])
def test_nothing_is_found_where_nothing_is(sessions):
    """Over many null cohorts, any region significant after FDR happens as rarely as it should."""
    hits = 0
    for seed in range(60):
        data = cohort(count=14, age_effect=0, group_effect=0, sessions=sessions, seed=seed, regions=5)
        rows, _ = statistics.fit(data, "chi ~ group")
        hits += any(row["significant"] for row in rows)
    assert hits <= 8  # 5 % of 60 are 3; more than 8 has a chance below 1 %


def test_repeated_measures_are_not_counted_as_participants():
    """Ten sessions of four people are no forty people: a difference of chance between them is not significant."""
    data = cohort(count=6, age_effect=0, group_effect=0, sessions=10, between=0.02, seed=3)
    rows, _ = statistics.fit(data, "chi ~ group")
    assert all(row["df"] == 4 for row in rows)
    naive, _ = statistics.fit(data.assign(participant_id=data["run"]), "chi ~ group")
    width = {r["index"]: r["ci_high"] - r["ci_low"] for r in rows if r["term"] != "Intercept"}
    assert all(width[r["index"]] > 2 * (r["ci_high"] - r["ci_low"]) for r in naive if r["term"] != "Intercept")


def test_ordinary_least_squares_agrees_with_the_closed_form():
    data = cohort(regions=1)
    rows, _ = statistics.fit(data, "chi ~ age")
    x = np.column_stack([np.ones(len(data)), data["age"]])
    beta, *_ = np.linalg.lstsq(x, data["chi_mean"], rcond=None)
    assert [row["estimate"] for row in rows] == pytest.approx(list(beta), rel=1e-6)


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("chi", "tilde"),
        ("chi ~ weight", "'weight' is not defined; the columns are age, group"),
        ("chi ~ age +", "cannot be fitted"),
        ("chi ~ age + same", "column same is the same for all participants"),
        ("chi ~ age + I(2 * age)", "follows from the others"),
        ("chi ~ C(participant_id)", "follows from|too few"),
        ("chi ~ empty", "no run has a value of empty: add the values to participants.tsv"),
        ("group ~ age", "not one column of numbers"),
    ],
)
def test_a_model_that_cannot_be_fitted_says_why(formula, sentence):
    with pytest.raises(QsmAppError, match=sentence):
        statistics.fit(cohort(count=12).assign(same=1.0, empty=np.nan), formula)


def test_runs_without_a_value_are_told_and_other_regions_keep_them():
    data = cohort()
    data.loc[(data["run"] == "3-0") & (data["index"] == 1), "chi"] = np.nan
    rows, warnings = statistics.fit(data, "chi ~ age")
    assert [row["observations"] for row in rows if row["term"] == "age"] == [39, 40, 40, 40, 40, 40]
    assert len(warnings) == 1
    assert "3-0" in warnings[0]


def test_a_region_that_cannot_be_fitted_does_not_stop_the_others():
    data = cohort()
    data.loc[data["index"] == 2, "chi"] = 0.1
    rows, warnings = statistics.fit(data, "chi ~ age")
    assert [row["note"] for row in rows if row["index"] == 2] == ["all values are the same"]
    assert sum(row["estimate"] is not None for row in rows) == 10
    assert "1 regions have no model" in warnings[0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discovery_rate_agrees_with_statsmodels(p):
    from statsmodels.stats.multitest import multipletests

    assert statistics.benjamini_hochberg(p) == pytest.approx(list(multipletests(p, method="fdr_bh")[1]))


def test_outliers_are_flagged_and_kept():
    data = cohort(age_effect=0, group_effect=0)
    data.loc[(data["run"] == "7-0") & (data["index"] == 4), "chi_mean"] = 0.5
    rows, warnings = outliers(data, 5.0)
    assert [row["run"] for row in rows if row["flagged"]] == ["7-0"]
    assert next(row for row in rows if row["flagged"])["worst_region"] == "r3 L"
    assert len(rows) == data["run"].nunique()
    assert "stays in all tables" in warnings[0]


def test_few_runs_flag_nothing():
    rows, warnings = outliers(cohort(count=4))
    assert not warnings
    assert all(row["worst_z"] is None and not row["flagged"] for row in rows)


def test_descriptions_count_what_is_missing():
    data = cohort(count=10, regions=1)
    data.loc[0, "chi_mean"] = np.nan
    (row,) = statistics.describe(data)
    assert (row["runs"], row["runs_without"], row["participants"]) == (9, 1, 9)
    assert row["mean"] == pytest.approx(data["chi_mean"].mean())


def test_a_region_with_few_participants_or_without_residuals_has_no_model():
    data = cohort(count=12)
    data.loc[(data["index"] == 1) & (data["run"].isin(["0-0", "1-0", "2-0"])), "chi"] = np.nan
    data.loc[data["index"] == 2, "chi"] = 0.01 * data["age"]
    rows, warnings = statistics.fit(data, "chi ~ age", min_participants=10, min_df=3)
    notes = {row["index"]: row["note"] for row in rows}
    assert notes[1] == "9 participants have all values, and 10 are needed for 2 coefficients"
    assert notes[2].startswith("the model fits all values exactly")
    assert notes[3] is None
    assert len(warnings) == 2
