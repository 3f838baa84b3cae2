"""The demo's parts at small size: simulate, reconstruct, score; everything valid BIDS; nothing made twice."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main as app
from bids_app.phantom.__main__ import main as phantom
from bids_app.phantom.score import main as score
from bids_app.phantom.score import score as scores_of
from tests.helpers.leftovers import leave_part

SMALL = ["--voxel-size", "3.5", "--t1w-voxel-size", "4", "--echo-times", "0.005", "0.012", "0.019"]


def errors(folder, *options):
    tool = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([tool, folder, "--format", "json", *options], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"]


def hashes(folder):
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "bids"
    assert phantom([str(out), "--subjects", "1", *SMALL]) == 0
    return out


def test_the_demo_at_small_size(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert app([str(study), str(out), "participant"]) == 0
    assert errors(study) == []
    assert errors(study / "derivatives" / "phantom") == []
    assert errors(out, "-r") == []
    capsys.readouterr()
    (out / "sub-01/anat/sub-01_space-study_Chimap.nii.gz").write_bytes(b"of the level group, on another grid")
    assert score([str(study), str(out), "--json", str(tmp_path / "score.json")]) == 0
    assert "right putamen" in capsys.readouterr().out
    scores = {s["file"]: s for s in json.loads((tmp_path / "score.json").read_text())}
    chi = scores["sub-01/anat/sub-01_Chimap.nii.gz"]
    assert chi["nrmse"] < 80
    assert 0.7 < chi["slope"] < 1.2
    assert scores["sub-01/fmap/sub-01_desc-total_fieldmap.nii.gz"]["nrmse"] < 5
    assert score([str(study), str(tmp_path / "nowhere")]) == 3
    assert score([str(tmp_path), str(out)]) == 3


def test_a_reader_that_has_gone_ends_the_score_without_a_traceback(study):
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "bids_app.phantom.score", str(study), str(study / "derivatives/phantom")]
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(words, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 1


def test_truth_scores_itself_as_perfect(study):
    truth = study / "derivatives" / "phantom"
    for s in scores_of(study, truth):
        assert s.nrmse == pytest.approx(0, abs=1e-4)
        if s.xsim is not None:
            assert s.xsim == pytest.approx(1)
            assert s.slope == pytest.approx(1)
            assert len(s.regions) == 14


def test_the_same_arguments_give_the_same_bytes_with_any_number_of_threads(study, tmp_path, capsys):
    other = tmp_path / "other"
    assert phantom([str(other), "--subjects", "1", *SMALL, "--omp-nthreads", "1"]) == 0
    assert hashes(other) == hashes(study)
    before = {p: p.stat().st_mtime_ns for p in study.rglob("*")}
    capsys.readouterr()
    assert phantom([str(study), "--subjects", "1", *SMALL]) == 0
    assert "there already" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in study.rglob("*")} == before


def test_other_arguments_replace_what_was_there_and_a_damaged_file_is_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "bids"
    options = ["bids", "--subjects", "1", "--voxel-size", "4.5", "--t1w-voxel-size", "6"]
    alive = ["--echo-times", "0.02", "--orientation", "coronal", "--living", "--cosmos", "2"]
    assert phantom([*options, "--sessions", "2", "--real-imag", "--oblique", "10", "5", "0", "--no-t1w"]) == 0
    assert errors(out) == []
    assert [p.name for p in tmp_path.iterdir()] == ["bids"]
    assert not (out / "bids").exists()
    images = sorted(p.name for p in (out / "sub-01").rglob("*.nii.gz"))
    assert "sub-01_ses-2_echo-4_part-imag_MEGRE.nii.gz" in images
    assert len(images) == 2 * 4 * 2
    assert not list((out / "sub-01").rglob("*T1w*"))
    assert phantom([*options, *alive]) == 0
    assert errors(out) == []
    images = sorted(p.name for p in (out / "sub-01").rglob("*.nii.gz"))
    assert images == ["sub-01_T1w.nii.gz", "sub-01_part-mag_T2starw.nii.gz", "sub-01_part-phase_T2starw.nii.gz"]
    assert not list(out.rglob("*MEGRE*"))
    truth = out / "derivatives/phantom"
    assert errors(truth) == []
    cosmos, mask = (nib.load(truth / f"sub-01/anat/sub-01_desc-cosmos_{s}.nii.gz") for s in ("Chimap", "mask"))
    assert np.asarray(cosmos.dataobj)[np.asarray(mask.dataobj) > 0].std() > 0.01
    assert (truth / "sub-01/fmap/sub-01_desc-vsharp_fieldmap.json").is_file()
    image = nib.load(out / "sub-01/anat/sub-01_part-phase_T2starw.nii.gz")
    assert nib.aff2axcodes(image.affine) == tuple("LSP")
    codes = np.asarray(image.dataobj)
    assert (codes.min(), codes.max()) == (-4096, 4094)
    before = hashes(out)
    (out / "sub-01/anat/sub-01_T1w.nii.gz").write_bytes(b"cut")
    leave_part(out / "sub-01/anat")
    leave_part(out)
    assert phantom([*options, *alive]) == 0
    assert hashes(out) == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--voxel-size", "0"], "positive"),
        (["--voxel-size", "1", "2"], "one number or three"),
        (["--voxel-size", "0.05"], "between"),
        (["--echo-times", "4", "8"], "milliseconds"),
        (["--echo-times", "0.02", "0.01"], "rise"),
        (["--orientation", "diagonal"], "orientation"),
        (["--subjects", "0"], "1 or more"),
        (["--snr", "nan"], "positive"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_bad_arguments(tmp_path, capsys, options, reason):
    assert phantom([str(tmp_path / "x"), *options]) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert phantom([str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
