"""The level group: tables without images, and one small study from its images to the template."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bids_app.cli.command import main
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
        planted = row["name"] in ("putamen", "pallidum")
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


@pytest.mark.slow
def test_a_group_killed_in_a_round_goes_on_and_repeats_no_registration(tmp_path, capfd):
    from tests.integration.conftest import write_study

    bids, out = write_study(tmp_path / "bids"), tmp_path / "out"
    words = ["--preset", "fast", "--segmentation", "none", "--nprocs", "1", "--omp-nthreads", "1"]
    words += ["--skip-bids-validation", "--template-iterations", "1", "1"]
    for name, value in (("resolution", 4), ("registration_resolution", 4), ("syn_coarse", 5), ("syn_middle", 0)):
        words += ["--set", f"template.{name}={value}"]
    words += ["--set", "template.syn_fine=0", "--set", "group.single_pass=false"]
    assert main([str(bids), str(out), "participant", *words]) == 0
    records = out / "logs" / "records"
    first = records / "sub-01" / "sub-01_iteration2_step-register.json"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bids_app", str(bids), str(out), "group", *words],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not first.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)  # one of the two deformations of the iteration is done
        process.wait()
    finished = {path.name.partition("_step-")[0] for path in records.rglob("*.json")}
    assert "sub-01_iteration2" in finished
    assert "sub-02_iteration2" not in finished
    capfd.readouterr()
    assert main([str(bids), str(out), "group", *words]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if " ran " in line and "ran nothing" not in line]
    again = {line.split()[0] for line in lines}
    assert {"sub-02_iteration2", "tpl-study_iteration2", "sub-01_tostudy", "sub-02_tostudy", "tpl-study_maps"} <= again
    assert not again & finished
    anat = out / "tpl-study" / "anat"
    iterations = table(anat / "tpl-study_desc-convergence_stats.tsv")
    assert [row["kind"] for row in iterations] == ["start", "rigid", "syn"]
    assert (anat / "tpl-study_desc-mean_Chimap.nii.gz").is_file()
    assert (out / "sub-01/anat/sub-01_space-study_Chimap.nii.gz").is_file()
    # The deformations of the iterations are working files, and nothing is made again when they are gone.
    assert [p for p in out.rglob("*iteration2_xfm.nii.gz") if out / "work" not in p.parents] == []
    shutil.rmtree(out / "work")
    assert main([str(bids), str(out), "group", *words]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if " ran " in line and "ran nothing" not in line]
    assert lines == []
