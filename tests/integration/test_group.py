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
from bids_app.derivatives.ratings import Rating, ratings_path, write_rating
from tests.helpers.group_study import write_step, write_table_study


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
    wide = table(out / "group_seg-nuclei_desc-wide_stats.csv")
    assert [row["participant_id"] for row in wide] == [f"sub-{n:02d}" for n in range(1, 13)]
    assert wide[0]["age"] == "36.2"
    long = table(out / "group_seg-nuclei_desc-chi_stats.tsv")
    assert len(long) == 12 * 14
    dictionary = json.loads((out / "group_seg-nuclei_desc-chi_stats.json").read_text())
    assert long[0].keys() <= dictionary.keys()
    assert "status" not in dictionary  # each table has its own dictionary
    assert wide[0].keys() <= json.loads((out / "group_seg-nuclei_desc-wide_stats.json").read_text()).keys()
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
    assert wide[0]["chi_paramagnetic_mean_left_putamen"] != wide[0]["chi_mean_left_putamen"]
    assert float(wide[0]["chi_diamagnetic_mean_left_putamen"]) < 0
    measures = {row["measure"] for row in table(out / "group_seg-nuclei_desc-descriptive_stats.tsv")}
    assert {"chi_paramagnetic_mean", "chi_diamagnetic_mean"} <= measures
    assert group(bids, out, "--model", "chi_paramagnetic ~ age + sex + group") == 0
    planted = [row for row in table(out / "group_seg-nuclei_desc-model_stats.tsv") if row["term"] == "age"]
    assert all(float(row["estimate"]) > 0 for row in planted)
    assert "mean paramagnetic susceptibility" in (out / "group.html").read_text()


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
    rows = {row["participant_id"]: row for row in table(out / "group_seg-nuclei_desc-wide_stats.csv")}
    assert rows["sub-03"]["status"] == "failed"
    assert rows["sub-03"]["chi_mean_left_putamen"] == "n/a"
    assert len(rows) == 12
    assert [row["status"] for row in table(out / "group_cohort.tsv")].count("failed") == 1
    assert "sub-03" in capfd.readouterr().err


def test_who_was_made_in_another_way_is_refused_or_named(study, capfd):
    bids, out = study
    path = out / "logs/records/sub-03/sub-03_step-chi.json"
    record = json.loads(path.read_text()) | {"parameters": {"inversion": {"method": "tkd"}}, "code": "2"}
    path.write_text(json.dumps(record))
    others = out.glob("logs/records/sub-*/*step-chi.json")
    for other in others:
        if other != path:
            content = json.loads(other.read_text()) | {"parameters": {"inversion": {"method": "rts"}}}
            other.write_text(json.dumps(content))
    for more in ((), ("--dry-run",)):
        assert group(bids, out, *more) == 3
        assert 'sub-03: inversion.method is "tkd", and "rts" in 11 of 12 runs' in capfd.readouterr().err
    assert not list(out.glob("group_*"))
    assert group(bids, out, "--allow-mixed") == 0
    assert 'inversion.method is "tkd"' in capfd.readouterr().err


def test_tables_of_an_earlier_model_and_of_a_failed_step_do_not_stay(study, capfd):
    bids, out = study
    model = "group_seg-nuclei_desc-model_stats.tsv"
    assert group(bids, out, "--model", "chi ~ age") == 0
    page = out / "group.html"
    assert (out / model).is_file() and "chi ~ age" in page.read_text()
    path = out / "logs/records/tpl-study/tpl-study_maps_step-maps.json"  # of an earlier command with a template
    image = out / "tpl-study/anat/tpl-study_desc-mean_Chimap.nii.gz"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"map")
    write_step(out, "tpl-study", "maps", "tpl-study_maps", {"mean_chimap": image}, started="2026-01-01")
    assert group(bids, out) == 0
    assert not [*out.glob(model.replace(".tsv", ".*")), *out.glob("logs/records/group_step-model.json")]
    assert "The command had no model" in page.read_text()
    assert f"{model}: removed" in "".join(p.read_text() for p in out.glob("logs/*.log"))
    assert path.is_file() and image.is_file()
    (row,) = table(out / "group_earlier.tsv")
    assert (row["file"], row["step"]) == (str(image.relative_to(out)), "maps")
    assert "group_earlier.tsv" in page.read_text()
    path.unlink()
    (out / "group.html").unlink()
    assert group(bids, out) == 0
    assert not list(out.glob("group_earlier.*"))


def test_ratings_and_withdrawal_leave_people_out_of_every_table(study, capfd):
    bids, out = study
    write_rating(ratings_path(out), Rating("sub-02", "exclude", "motion"))
    shutil.rmtree(bids / "sub-05")
    assert group(bids, out) == 0
    for name in ("group_seg-nuclei_desc-wide_stats.csv", "group_seg-nuclei_desc-chi_stats.tsv"):
        assert {row["participant_id"] for row in table(out / name)}.isdisjoint({"sub-02", "sub-05"})
    rows = {row["run"]: row for row in table(out / "group_cohort.tsv")}
    assert (rows["sub-02"]["status"], rows["sub-02"]["rating"], rows["sub-02"]["note"]) == (
        "excluded",
        "exclude",
        "motion",
    )
    assert rows["sub-05"]["status"] == "not in the dataset"
    assert "sub-05: not in the dataset" in capfd.readouterr().err
    assert group(bids, out, "--include-withdrawn", "--ratings", str(out / "nothing.tsv")) == 2
    assert "--ratings: there is no" in capfd.readouterr().err
    (out / "ratings.tsv").write_text("run\trating\nsub-02\tbad\n")
    assert group(bids, out) == 3
    assert "line 2: a rating must be one of good, usable, exclude" in capfd.readouterr().err
    (out / "ratings.tsv").unlink()
    assert group(bids, out, "--include-withdrawn") == 0
    assert len(table(out / "group_seg-nuclei_desc-wide_stats.csv")) == 12


def test_without_any_map_the_level_says_what_to_do(study, tmp_path, capfd):
    assert group(study[0], tmp_path / "empty") == 3
    assert "run the level participant first" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("chi ~ weight", "no column 'weight' in participants.tsv or sessions.tsv; the columns are age, sex, group"),
        (
            "chi_other ~ age",
            "no value 'chi_other' to explain; there are chi, r2star, chi_paramagnetic, chi_diamagnetic, volume",
        ),
        ("r2prime ~ age", "no value 'r2prime' to explain"),
        ("chi ~ C(participant_id)", "leave 0 degrees of freedom for 12 coefficients"),
        ("chi ~ age + I(2 * age)", "follows from the others"),
    ],
)
def test_a_model_that_cannot_be_fitted_is_refused_before_anything_runs(study, capfd, model, sentence):
    bids, out = study
    for more in (("--dry-run",), ()):
        assert group(bids, out, "--model", model, *more) == 2
        assert sentence in capfd.readouterr().err
    assert not list(out.glob("group_*"))
    words = [str(bids), str(out), "group", "--voxelwise", "--model", "r2star ~ age"]
    assert main(words) == 2
    assert "--voxelwise needs a map of r2star of everybody; sub-01, sub-02" in capfd.readouterr().err
    # Before the participant level takes hours, and before it says that these images are empty.
    assert main([str(bids), str(out), "participant", "group", "--model", "chi ~ weight"]) == 2
    assert "no column 'weight'" in capfd.readouterr().err
    assert main([str(bids), str(out), "participant", "group", "--group-dseg", str(out / "no.nii.gz")]) == 2
    assert "--group-dseg: there is no file" in capfd.readouterr().err


def test_few_participants_are_described_and_modelled_only_when_asked_for(tmp_path, capfd):
    bids, out = write_table_study(tmp_path, count=6)
    assert group(bids, out, "--model", "chi ~ age") == 2
    assert "6 participants are too few for a model: 10 are needed, or say --small-groups" in capfd.readouterr().err
    assert group(bids, out) == 0
    assert table(out / "group_seg-nuclei_desc-descriptive_stats.tsv")[0]["df"] == "5"
    capfd.readouterr()
    assert group(bids, out, "--model", "chi ~ age", "--small-groups") == 0
    assert "6 participants and 4 degrees of freedom" in capfd.readouterr().err
    assert group(bids, out, "--model", "chi ~ age + sex + group", "--small-groups") == 2
    assert "6 participants leave 2 degrees of freedom for 4 coefficients" in capfd.readouterr().err


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
