"""Options of the command that choose input and tell what happened."""

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bids_app.cli import app
from bids_app.cli.command import main
from bids_app.derivatives.files import read_image
from tests.integration.conftest import write_study
from tests.unit.engine import fake_steps


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("options") / "bids", subjects=("01",))


@pytest.fixture(scope="module")
def done(study, tmp_path_factory):
    """Return the outputs of one plain run; tests must not change them."""
    out = tmp_path_factory.mktemp("options-out") / "out"
    assert main([str(study), str(out), "participant"]) == 0
    return out


def test_log_effective_parameters_and_records_are_beside_the_outputs(study, done):
    (config,) = (done / "logs").glob("config-*.toml")
    assert "[inversion.rts]" in config.read_text()
    (log,) = (done / "logs").glob("qsm-bids-app-*.log")
    text = log.read_text()
    assert "no T1w image of this subject" in text
    assert "sub-01: field finished" in text
    record = json.loads((done / "logs/records/sub-01/sub-01_step-inversion.json").read_text())
    assert record["peak_memory_bytes"] > 10_000_000
    assert record["status"] == "done"


def test_the_written_parameters_give_the_same_results(study, done, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done, out, dirs_exist_ok=True)
    (config,) = (out / "logs").glob("config-*.toml")
    assert main([str(study), str(out), "participant", "--config", str(config), "--skip-bids-validation"]) == 0
    assert "ran nothing" in capsys.readouterr().out


def test_a_given_mask_wins_and_is_told(study, done, tmp_path, capsys):
    out, other = tmp_path / "out", tmp_path / "other/sub-01/anat"
    other.mkdir(parents=True)
    image = nib.load(done / "sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    given = np.asarray(image.dataobj) > 0
    given[: given.shape[0] // 2] = False
    nib.save(nib.Nifti1Image(given.astype(np.uint8), image.affine), other / "sub-01_desc-brain_mask.nii.gz")
    command = [str(study), str(out), "participant", "--derivatives", str(tmp_path / "other"), "--skip-bids-validation"]
    assert main(command) == 0
    assert "sub-01_desc-brain_mask.nii.gz of" in capsys.readouterr().err
    used = nib.load(out / "sub-01/anat/sub-01_desc-brain_mask.nii.gz").get_fdata() > 0
    assert np.array_equal(used, given)
    valid, around, chi = (
        nib.load(out / f"sub-01/anat/sub-01_{name}.nii.gz").get_fdata()
        for name in ("desc-qsm_mask", "desc-processing_mask", "Chimap")
    )
    assert not (valid.astype(bool) & ~given).any()
    assert not chi[~given].any()
    # The field is processed where the recipe finds object up to 5 mm beyond the mask.
    whole = nib.load(done / "sub-01/anat/sub-01_desc-brain_mask.nii.gz").get_fdata() > 0
    distance = ndimage.distance_transform_edt(~given, sampling=image.header.get_zooms())
    assert around[given | (whole & (distance <= 5))].all()
    assert not around[~whole | (distance > 5 + max(image.header.get_zooms()))].any()
    assert main([*command, "--set", "mask.margin=0"]) == 0
    assert not list(out.rglob("*processing*"))
    exact = nib.load(out / "sub-01/anat/sub-01_Chimap.nii.gz").get_fdata()
    assert not exact[~given].any()
    assert not np.array_equal(exact, chi)
    assert main(command[:-3]) == 0  # without it the computed mask is back
    assert not list(out.rglob("*processing*"))
    assert (nib.load(out / "sub-01/anat/sub-01_desc-brain_mask.nii.gz").get_fdata() > 0).sum() > given.sum()


def test_maps_of_another_dataset_enter_at_their_stage(study, done, tmp_path, capsys):
    out = tmp_path / "out"
    command = [str(study), str(out), "participant", "--skip-bids-validation", "--derivatives", str(done)]
    assert main([*command, "--derivatives-use", "chimap", "r2star"]) == 0
    said = capsys.readouterr().err
    assert "sub-01_Chimap.nii.gz of" in said
    assert "which are skipped: phase, field, background, inversion, null_space_trend, relaxometry" in said
    images = {
        name: [read_image(place / f"sub-01/anat/sub-01_{name}.nii.gz")[0] for place in (done, out)]
        for name in ("Chimap", "R2starmap", "desc-qsm_mask")
    }
    np.testing.assert_allclose(*images["Chimap"], atol=1e-6)
    np.testing.assert_array_equal(*images["R2starmap"])
    np.testing.assert_array_equal(*images["desc-qsm_mask"])
    page = (out / "sub-01.html").read_text()
    assert "The susceptibility map and R2* map were made elsewhere" in page
    records = {path.name.partition("_step-")[2] for path in (out / "logs/records/sub-01").iterdir()}
    assert not {"phase.json", "field.json", "inversion.json"} & records
    assert "import-chimap.json" in records


def test_a_field_map_of_the_dataset_gives_a_map(done, tmp_path, capsys):
    study, out = tmp_path / "bids", tmp_path / "out"
    (study / "sub-01/fmap").mkdir(parents=True)
    (study / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.10.0"}))
    for name, suffix in (("desc-total_fieldmap", "fieldmap"), ("desc-total_magnitude", "magnitude")):
        shutil.copy(done / f"sub-01/fmap/sub-01_{name}.nii.gz", study / f"sub-01/fmap/sub-01_{suffix}.nii.gz")
    (study / "sub-01/fmap/sub-01_fieldmap.json").write_text('{"Units": "Hz", "MagneticFieldStrength": 3}')
    assert main([str(study), str(out), "participant", "--skip-bids-validation"]) == 0
    assert "sub-01_fieldmap.nii.gz is used as the total field" in capsys.readouterr().err
    (first, mask), (second, other) = (
        [read_image(place / f"sub-01/anat/sub-01_{name}.nii.gz")[0] for name in ("Chimap", "desc-qsm_mask")]
        for place in (done, out)
    )
    both = (mask > 0) & (other > 0)
    assert both.sum() > 0.95 * (mask > 0).sum()
    assert np.corrcoef(first[both], second[both])[0, 1] > 0.95
    (study / "sub-01/fmap/sub-01_fieldmap.json").write_text('{"MagneticFieldStrength": 3}')
    assert main([str(study), str(out), "participant", "--skip-bids-validation"]) == 3
    assert 'sub-01_fieldmap.nii.gz: there is no "Units" in its JSON sidecar' in capsys.readouterr().err


def test_functions_after_a_subject_see_its_results(study, done, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(app, "SUBJECT_REPORT", fake_steps.REPORT)
    out = tmp_path / "out"
    shutil.copytree(done, out)
    assert main([str(study), str(out), "participant", "--skip-bids-validation"]) == 0
    captured = capsys.readouterr()
    assert "sub-01_report: warning: sub-01 unchanged" in captured.err
    assert "1 of 1 done" in captured.out


def test_a_dataset_of_empty_files_is_refused_and_nothing_is_written(tmp_path, capsys):
    bids = tmp_path / "qmri_qsm"
    for name in ("sub-1_part-mag_T1w", "sub-1_part-phase_T1w", "sub-1_echo-1_part-phase_MEGRE"):
        (bids / "sub-1/anat").mkdir(parents=True, exist_ok=True)
        (bids / f"sub-1/anat/{name}.nii.gz").touch()
        (bids / f"sub-1/anat/{name}.json").write_text('{"EchoTime": 0.02, "MagneticFieldStrength": 7}')
    (bids / "dataset_description.json").write_text('{"Name": "example", "BIDSVersion": "1.10.0"}')
    assert main([str(bids), str(tmp_path / "out"), "participant"]) == 3
    said = capsys.readouterr().err
    assert said.count("0 bytes") == 3
    assert "same output names" in said
    assert not (tmp_path / "out").exists()


def test_a_filter_leaves_out_what_cannot_be_used(tmp_path):
    bids = write_study(tmp_path / "bids", subjects=("01",))
    (bids / "sub-01/anat/sub-01_acq-clinical_T2starw.nii.gz").write_bytes(b"")
    out, file = tmp_path / "out", tmp_path / "filter.json"
    # A magnitude alone is no run for this app: it is skipped with a note. A phase that is empty stops the command.
    assert main([str(bids), str(out), "participant", "--dry-run"]) == 0
    (bids / "sub-01/anat/sub-01_acq-clinical_part-phase_T2starw.nii.gz").write_bytes(b"")
    assert main([str(bids), str(out), "participant", "--dry-run"]) == 3
    file.write_text('{"gre": {"suffix": "MEGRE"}}')
    assert main([str(bids), str(out), "participant", "--dry-run", "--bids-filter-file", str(file)]) == 0


def test_a_reader_that_has_gone_is_no_traceback(study, tmp_path):
    words = f"{sys.executable} -m bids_app {study} {tmp_path / 'out'} participant --dry-run | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("sub-01: 4 echoes")
    assert "Traceback" not in done.stderr
