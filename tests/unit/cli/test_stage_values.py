"""Values of ``qsm`` and of the sidecars that it reads: what is out of range is a usage error in one sentence."""

import json

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.stages import main

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
ODD = ("nan", "inf", "-inf", "0", "-1", "1e300", "1e-300", "", "x", "9" * 400)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = np.random.default_rng(0).uniform(-3, 3, (8, 8, 8)).astype(np.float32)
    nib.Nifti1Image(data, AFFINE).to_filename("phase.nii")
    nib.Nifti1Image((np.abs(data) < 9).astype(np.uint8), AFFINE).to_filename("mask.nii")


def refusal(words, capsys):
    code = main(words)
    said = capsys.readouterr().err.removesuffix("\n")
    assert code == 2, said
    lines = [line for line in said.splitlines() if not line.startswith("see ")]
    assert len(lines) == 1 and len(said) < 400
    assert "Error" not in said and "Traceback" not in said
    return said


@pytest.mark.parametrize("value", ODD)
def test_options_have_a_range(files, capsys, value):
    invert = ["invert", "phase.nii", "--mask", "mask.nii", "--units", "ppm", "-o", "out.nii.gz"]
    assert "--te" in refusal(["unwrap", "phase.nii", f"--te={value}", "-o", "out.nii.gz"], capsys)
    assert "--b0" in refusal([*invert, f"--b0={value}"], capsys)
    assert "--omp-nthreads" in refusal([*invert, f"--omp-nthreads={value}"], capsys)
    assert "threshold" in refusal([*invert, "--method", "tkd", f"--threshold={value}"], capsys)
    if value not in ("0", "-1", "1e-300", "-inf"):  # these are parts of a direction
        assert "--b0-dir" in refusal([*invert, "--b0-dir", value, "0", "1"], capsys)


@pytest.mark.parametrize("value", ["NaN", "-1", '"0.02"', "[0.02]", "true", "1e300"])
def test_sidecars_have_a_range(files, capsys, tmp_path, value):
    (tmp_path / "phase.json").write_text(f'{{"EchoTime": {value}, "MagneticFieldStrength": {value}}}')
    assert "--te" in refusal(["unwrap", "phase.nii", "-o", "out.nii.gz"], capsys)
    said = refusal(["background", "phase.nii", "--mask", "mask.nii", "--units", "hz", "-o", "out.nii.gz"], capsys)
    assert "MagneticFieldStrength" in said and repr(json.loads(value)) in said
