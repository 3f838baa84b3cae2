"""The level group, on tables without images."""

import csv
import json

import pytest

from bids_app.cli import main
from tests.helpers.group_study import write_table_study


def group(bids, out, *more):
    return main([str(bids), str(out), "group", "--nprocs", "1", "--omp-nthreads", "1", "--template", "none", *more])


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.fixture
def study(tmp_path):
    return write_table_study(tmp_path)


def test_tables_and_model_in_one_command(study, capfd):
    bids, out = study
    assert group(bids, out, "--model", "chi ~ age + sex + group") == 0
    wide = table(out / "group_seg-nuclei_desc-chi_stats.csv")
    assert [row["participant_id"] for row in wide] == [f"sub-{n:02d}" for n in range(1, 13)]
    assert wide[0]["age"] == "36.2"
    long = table(out / "group_seg-nuclei_desc-chi_stats.tsv")
    assert len(long) == 12 * 14
    dictionary = json.loads((out / "group_seg-nuclei_desc-chi_stats.json").read_text())
    assert {*long[0], *wide[0]} <= dictionary.keys()
    assert dictionary["age"] == {"Description": "Age", "Units": "year"}
    model = table(out / "group_seg-nuclei_desc-model_stats.tsv")
    effect = [row for row in model if row["term"] == "group[T.patient]"]
    for row in effect:
        planted = row["name"] in ("putamen", "red nucleus", "substantia nigra")
        assert float(row["ci_low"]) < (0.02 if planted else 0.0) < float(row["ci_high"])
        assert planted or row["significant"] == "false"
    assert any(row["significant"] == "true" for row in effect)
    age = [float(row["estimate"]) for row in model if row["term"] == "age"]
    assert all(value > 0 for value in age)
    capfd.readouterr()
    assert group(bids, out, "--model", "chi ~ age + sex + group") == 0
    assert "unchanged 5" in capfd.readouterr().out
    assert group(bids, out, "--model", "chi ~ age") == 0
    assert "ran outliers, model; unchanged 3" in capfd.readouterr().out


def test_a_null_cohort_gives_no_region(tmp_path):
    bids, out = write_table_study(tmp_path, age_effect=0, group_effect=0)
    assert group(bids, out, "--model", "chi ~ age + sex + group") == 0
    model = table(out / "group_seg-nuclei_desc-model_stats.tsv")
    assert not [row for row in model if row["significant"] == "true"]


def test_the_missing_are_refused_or_listed(study, capfd):
    bids, out = study
    (out / "sub-03/anat/sub-03_Chimap.nii.gz").unlink()
    assert group(bids, out) == 3
    assert "sub-03: failed" in capfd.readouterr().err
    assert not list(out.glob("group_*"))
    assert group(bids, out, "--allow-missing") == 0
    rows = {row["participant_id"]: row for row in table(out / "group_seg-nuclei_desc-chi_stats.csv")}
    assert rows["sub-03"]["status"] == "failed"
    assert rows["sub-03"]["chi_mean_left_putamen"] == "n/a"
    assert len(rows) == 12
    assert [row["status"] for row in table(out / "group_cohort.tsv")].count("failed") == 1
    assert "sub-03" in capfd.readouterr().err


def test_without_any_map_the_level_says_what_to_do(study, tmp_path, capfd):
    assert group(study[0], tmp_path / "empty") == 3
    assert "run the level participant first" in capfd.readouterr().err


def test_a_model_that_cannot_be_fitted_leaves_the_tables(study, capfd):
    bids, out = study
    assert group(bids, out, "--model", "chi ~ weight") == 1
    assert "'weight' is not defined; the columns are age, sex, group" in capfd.readouterr().err
    assert (out / "group_seg-nuclei_desc-descriptive_stats.tsv").is_file()
    assert not (out / "group_seg-nuclei_desc-model_stats.tsv").exists()
