"""The tables of all runs: joined by labels, nothing dropped."""

import json

import pytest

from bids_app.group import tables


def rows(*values):
    return tuple(
        {"index": str(n), "name": "putamen", "hemisphere": side, "volume_mm3": "10", "chi_mean": value}
        for n, (side, value) in enumerate(zip("LR", values, strict=True), start=1)
    )


@pytest.fixture
def covariates(tmp_path):
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tname\nsub-01\t40\tx\n02\tn/a\ty\n")
    (tmp_path / "participants.json").write_text(json.dumps({"age": {"Description": "Age", "Units": "year"}}))
    home = tmp_path / "sub-01"
    home.mkdir()
    (home / "sub-01_sessions.tsv").write_text("session_id\tage\tscore\nses-a\t41\t3\nses-b\tn/a\t5\n")
    return tables.read_covariates(table, [home / "sub-01_sessions.tsv"], ("index", "name"))


def test_a_session_wins_over_its_participant_where_it_has_a_value(covariates):
    ages = [covariates.of(tables.Run("01", session, "r"))["age"] for session in ("a", "b", None)]
    assert ages == ["41", "40", "40"]


def test_columns_that_regions_have_too_get_another_name(covariates):
    assert list(covariates.columns) == ["age", "participant_name", "score"]
    assert covariates.columns["age"] == {"Description": "Age", "Units": "year"}


def test_unknown_participants_have_no_values(covariates):
    assert covariates.of(tables.Run("09", None, "r")) == {"age": None, "participant_name": None, "score": None}


def test_the_wide_table_keeps_who_has_nothing(covariates):
    runs = [tables.Run("01", "a", "one", rows=rows("0.1", "0.2")), tables.Run("02", None, "two", status="failed")]
    wide, columns = tables.wide_table(runs, covariates)
    assert [row["status"] for row in wide] == ["found", "failed"]
    assert wide[0]["chi_mean_right_putamen"] == "0.2"
    assert wide[1]["chi_mean_right_putamen"] is None
    assert set(columns) < set(wide[0])
    assert list(wide[0]) == list(wide[1])
    assert len(tables.long_table(runs, covariates)) == 2


def test_csv_reads_back_with_pandas(covariates):
    import io

    import pandas as pd

    runs = [tables.Run("01", "a", 'a "b", c', rows=rows("0.1", None)), tables.Run("02", None, "two")]
    data = pd.read_csv(io.StringIO(tables.csv_text(tables.wide_table(runs, covariates)[0])))
    assert list(data["run"]) == ['a "b", c', "two"]
    assert data["chi_mean_left_putamen"].tolist()[0] == 0.1
    assert data["chi_mean_right_putamen"].isna().all()


@pytest.mark.parametrize(
    ("row", "slug"),
    [
        ({"index": 1, "name": "Red nucleus (a/b)", "hemisphere": "L"}, "left_red_nucleus_a_b"),
        ({"index": 7, "name": "…", "hemisphere": "n/a"}, "label_7"),
    ],
)
def test_column_names_are_plain(row, slug):
    assert tables.region_slug(row) == slug
