"""The command itself, on simulated and on real data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from tests.helpers.leftovers import leave_part
from tests.integration.conftest import write_study

LABELS = ["--participant-label", "sub-01"]


def arrays(folder):
    return {p.relative_to(folder): np.asarray(nib.load(p).dataobj) for p in sorted(folder.rglob("*.nii.gz"))}


def snapshot(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "sub-01" in p.name}


def validator_errors(folder, *options):
    tool = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([tool, folder, "--format", "json", *options], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"]


@pytest.fixture(scope="module")
def same_study(tmp_path_factory):
    """Return a study that tests must not change."""
    return write_study(tmp_path_factory.mktemp("participant") / "bids")


@pytest.fixture(scope="module")
def done(same_study, tmp_path_factory):
    """Return the outputs of sub-01 after one plain run; tests must not change them."""
    out = tmp_path_factory.mktemp("participant-out") / "out"
    assert main([str(same_study), str(out), "participant", *LABELS]) == 0
    return out


def test_no_step_takes_more_memory_than_its_job_was_expected_to(same_study, done):
    from bids_app.dataset.subjects import selected_subjects
    from bids_app.engine.levels import participant_jobs
    from bids_app.model.context import Context
    from bids_app.model.settings import Settings

    subjects = selected_subjects(same_study, ("01",), (), {}, combine_coils=False)
    (job,) = participant_jobs(subjects, Settings(), Context(same_study, done, done / "work", 1))
    records = [json.loads(path.read_text()) for path in (done / "logs" / "records").rglob("*.json")]
    measured = {record["step"]: record["peak_memory_bytes"] for record in records if record["basename"] == job.name}
    assert "inversion" in measured and max(measured.values()) < job.memory, measured


def test_maps_are_near_the_truth_and_valid_bids(study, tmp_path):
    from tests.integration.conftest import truth

    out = tmp_path / "out"
    assert main([str(study), str(out), "participant"]) == 0
    chi, *_ = truth()
    image = nib.load(out / "sub-01/anat/sub-01_Chimap.nii.gz")
    estimate = image.get_fdata()
    valid = nib.load(out / "sub-01/anat/sub-01_desc-qsm_mask.nii.gz").get_fdata() > 0
    assert valid.sum() > 20_000
    a, b = estimate[valid], chi[valid] - chi[valid].mean()
    assert np.linalg.norm(a - a.mean() - b) < 0.75 * np.linalg.norm(b)
    assert np.polyfit(b, a, 1)[0] == pytest.approx(1, abs=0.15)
    r2star = nib.load(out / "sub-01/anat/sub-01_R2starmap.nii.gz").get_fdata()
    assert np.median(r2star[valid]) == pytest.approx(20, rel=0.05)
    sidecar = json.loads((out / "sub-01/anat/sub-01_Chimap.json").read_text())
    assert sidecar["Units"] == sidecar["ReferenceOffsetUnits"] == "ppm"
    assert sidecar["ReferenceMask"] == "sub-01_desc-qsm_mask.nii.gz"
    assert sidecar["Parameters"]["inversion"]["method"] == "bayes"
    assert not list(out.rglob("*.part"))
    assert validator_errors(study) == []
    assert validator_errors(out, "-r") == []


def test_a_second_run_changes_nothing_and_a_parameter_reruns_what_reads_it(same_study, done, tmp_path, capsys):
    out = shutil.copytree(done, tmp_path / "out")
    command = [str(same_study), str(out), "participant", *LABELS]
    before = snapshot(out)
    capsys.readouterr()
    assert main(command) == 0
    assert snapshot(out) == before
    assert "ran nothing; unchanged 10" in capsys.readouterr().out
    assert main([*command, "--set", "inversion.method=tkd"]) == 0
    assert "ran inversion, null_space_trend, reference, qc; unchanged 6" in capsys.readouterr().out


def test_the_map_before_the_trend_is_removed_is_written_on_request(same_study, done, tmp_path, capsys):
    out = shutil.copytree(done, tmp_path / "out")
    command = [str(same_study), str(out), "participant", *LABELS, "--set", "reference.keep_trend_map=true"]
    capsys.readouterr()
    assert main(command) == 0
    assert "ran reference; unchanged 9" in capsys.readouterr().out
    maps = arrays(out / "sub-01/anat")
    chi, before, valid = (
        maps[Path(f"sub-01_{name}.nii.gz")] for name in ("Chimap", "desc-withtrend_Chimap", "desc-qsm_mask")
    )
    trend = np.load(out / "work/sub-01/sub-01_trend.npy")
    expected = trend - trend[valid > 0].mean()
    np.testing.assert_allclose((before - chi)[valid > 0], expected[valid > 0], atol=1e-6)
    assert np.abs(expected[valid > 0]).max() > 1e-4
    sidecar = json.loads((out / "sub-01/anat/sub-01_desc-withtrend_Chimap.json").read_text())
    assert "before its null-space trend is removed" in sidecar["Description"]


def test_one_pass_removes_the_products_of_two(study, tmp_path):
    out = tmp_path / "out"
    command = [str(study), str(out), "participant", *LABELS]
    assert main([*command, "--set", "mask.two_pass=true"]) == 0
    assert (out / "sub-01/anat/sub-01_desc-singlepass_Chimap.json").exists()
    assert main([*command, "--set", "mask.two_pass=false"]) == 0
    assert not list(out.rglob("*singlepass*"))
    assert not list(out.rglob("*reliable*"))


def test_damaged_output_is_made_again_with_the_same_data(same_study, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "out")
    command = [str(same_study), str(out), "participant", *LABELS]
    before = arrays(out)
    (out / "sub-01/anat/sub-01_Chimap.nii.gz").write_bytes(b"broken")
    (out / "sub-01/fmap/sub-01_desc-total_fieldmap.nii.gz").unlink()
    assert main(command) == 0
    after = arrays(out)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_killed_at_any_moment_and_rerun_gives_the_same(same_study, done, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bids_app", str(same_study), str(out), "participant", *LABELS]
    for seconds in (1.5, 2.0, 2.5, 3.0):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    first, second = arrays(done), arrays(out)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert not list(out.rglob("*.part"))


def test_what_a_killed_run_left_half_written_goes_wherever_it_writes(same_study, done, tmp_path):
    out = shutil.copytree(done, tmp_path / "out")
    folders = {path.parent for path in out.rglob("*") if path.is_file()}
    for folder in folders:
        leave_part(folder)
    assert len(list(out.rglob("*.part"))) == len(folders) > 5
    assert main([str(same_study), str(out), "participant", *LABELS, "--set", "inversion.method=tkd"]) == 0
    assert not list(out.rglob("*.part"))


def test_one_failing_run_does_not_stop_the_others(study, tmp_path, capsys):
    folder = study / "sub-01/anat"
    for seed, path in enumerate(sorted(folder.glob("*part-phase*.nii.gz"))):  # pure noise: no mask can be made of it
        image = nib.load(path)
        noise = np.random.default_rng(seed).integers(-4096, 4095, image.shape).astype(np.int16)
        nib.save(nib.Nifti1Image(noise, image.affine), path)
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant", "--mask", "quality,threshold:0.5,open:1"]) == 1
    assert "sub-01: FAILED" in capsys.readouterr().err
    assert (out / "sub-02/anat/sub-02_Chimap.nii.gz").exists()
    crash = next((out / "logs").glob("crash-*sub-01.txt")).read_text()
    assert "to reproduce: qsm-bids-app" in crash
    assert "Traceback" in crash


def damage(folder, what):
    phase = folder / "sub-01_echo-2_part-phase_MEGRE.nii.gz"
    if what == "empty":
        phase.write_bytes(b"")
    elif what == "truncated":
        phase.write_bytes(phase.read_bytes()[:3000])
    elif what == "no phase":
        phase.unlink()
    elif what == "milliseconds":
        phase.with_name(phase.name.replace(".nii.gz", ".json")).write_text('{"EchoTime": 9}')
    elif what == "constant":
        image = nib.load(phase)
        nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), phase)
    elif what == "shape":
        nib.save(nib.Nifti1Image(np.arange(27, dtype=np.int16).reshape(3, 3, 3), np.diag([2.0, 2.0, 2.0, 1.0])), phase)
    elif what == "4D":
        nib.save(
            nib.Nifti1Image(np.arange(54, dtype=np.int16).reshape(3, 3, 3, 2), np.diag([2.0, 2.0, 2.0, 1.0])), phase
        )


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("empty", "0 bytes"),
        ("truncated", "damaged or truncated"),
        ("no phase", "echo 2 has no phase"),
        ("milliseconds", "looks like milliseconds"),
        ("constant", "one constant value"),
        ("shape", "share one grid"),
        ("4D", "4 dimensions"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_and_nothing_is_written(study, tmp_path, capsys, what, says):
    damage(study / "sub-01/anat", what)
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant"]) == 3
    message = capsys.readouterr().err
    assert says in message
    assert "sub-01" in message
    assert not out.exists()


def test_all_problems_are_listed_at_once(study, tmp_path, capsys):
    damage(study / "sub-01/anat", "milliseconds")
    (study / "MEGRE.json").unlink()
    assert main([str(study), str(tmp_path / "out"), "participant"]) == 3
    message = capsys.readouterr().err
    assert "milliseconds" in message
    assert message.count("MagneticFieldStrength") == 2


def test_unknown_participant_and_own_output_directory(study, capsys):
    assert main([str(study), str(study.parent / "out"), "participant", "--participant-label", "77"]) == 3
    assert "there are: 01, 02" in capsys.readouterr().err
    assert main([str(study), str(study), "participant"]) == 3
    assert "BIDS directory itself" in capsys.readouterr().err


def test_dry_run_prints_the_plan_and_writes_nothing(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([str(study), str(out), "participant", "--dry-run", "--set", "inversion.bayes.edge=1.25"]) == 0
    printed = capsys.readouterr().out
    assert "sub-02: 4 echoes" in printed
    assert "'edge': 1.25" in printed
    assert not out.exists()


def test_usage_errors(study, capsys):
    assert main([str(study), "out", "participnt"]) == 2
    assert main([str(study), "out", "participant", "--preset", "consensu"]) == 2
    assert "did you mean 'consensus'" in capsys.readouterr().err


@pytest.mark.real_data
def test_real_head_scan(real_data, tmp_path):
    bids = tmp_path / "bids"
    folder = bids / "sub-real/anat"
    folder.mkdir(parents=True)
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "real", "BIDSVersion": "1.10.0"}))
    source = real_data / "gre-small"
    for part, name in (("mag", "Mag.nii"), ("phase", "Phase.nii")):
        image = nib.load(source / name)
        data = np.asarray(image.dataobj)
        for echo in range(3):
            stem = folder / f"sub-real_echo-{echo + 1}_part-{part}_MEGRE"
            nib.save(nib.Nifti1Image(data[..., echo], image.affine), f"{stem}.nii.gz")
            Path(f"{stem}.json").write_text(json.dumps({"EchoTime": 0.004 * (echo + 1), "MagneticFieldStrength": 7}))
    out = tmp_path / "out"
    assert main([str(bids), str(out), "participant"]) == 0
    chi = nib.load(out / "sub-real/anat/sub-real_Chimap.nii.gz").get_fdata()
    valid = nib.load(out / "sub-real/anat/sub-real_desc-qsm_mask.nii.gz").get_fdata() > 0
    assert np.isfinite(chi).all()
    assert 0.005 < chi[valid].std() < 0.3
    assert valid.mean() > 0.3
