"""Source separation by the command, from simulated gradient and spin echoes to both maps."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.derivatives.files import read_image
from bids_app.phantom.__main__ import main as phantom
from bids_app.phantom.score import score


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("separation") / "bids"
    options = ["--subjects", "1", "--voxel-size", "4", "--t1w-voxel-size", "4", "--sources", "--snr", "150"]
    assert phantom([str(root), *options, "--spin-echo-times", *[f"{0.012 * n:.3f}" for n in range(1, 9)]]) == 0
    return root


@pytest.fixture(scope="module")
def output(study):
    out = study.parent / "out"
    options = ["--preset", "chi-separation", "--segmentation", "none"]
    assert main([str(study), str(out), "participant", *options]) == 0
    return out


def test_both_maps_are_near_the_truth(study, output):
    found = {one.file.rpartition("/")[2]: one for one in score(study, output)}
    assert found["sub-01_desc-paramagnetic_Chimap.nii.gz"].xsim > 0.7
    assert found["sub-01_desc-diamagnetic_Chimap.nii.gz"].xsim > 0.6
    assert found["sub-01_R2map.nii.gz"].nrmse < 15
    assert "sub-01_desc-R2prime_R2map.nii.gz" in found
    assert sum(name.endswith("Chimap.nii.gz") for name in found) == 3


def test_signs_and_sidecars(output):
    anat = output / "sub-01" / "anat"
    positive, _ = read_image(anat / "sub-01_desc-paramagnetic_Chimap.nii.gz")
    negative, _ = read_image(anat / "sub-01_desc-diamagnetic_Chimap.nii.gz")
    assert positive.min() >= 0 >= negative.max()
    assert np.any(positive > 0) and np.any(negative < 0)
    sidecar = json.loads((anat / "sub-01_desc-diamagnetic_Chimap.json").read_text())
    assert sidecar["Units"] == "ppm"
    assert "negative" in sidecar["Sign"]
    assert "bids::sub-01/anat/sub-01_desc-R2prime_R2map.nii.gz" in sidecar["Sources"]
    sources = json.loads((anat / "sub-01_R2map.json").read_text())["Sources"]
    assert any(source.endswith("echo-1_MESE.nii.gz") for source in sources)


def test_quality_control_measures_the_separation(output):
    content = json.loads((output / "sub-01" / "anat" / "sub-01_qc.json").read_text())["numbers"]
    assert 0 <= content["r2prime_negative_share"]["value"] < 0.3
    assert 0 < content["r2prime_gradient_share"]["value"] < 1
    assert 0.5 < content["r2prime_valid_fraction"]["value"] <= 1
    assert 0 < content["separation_residual"]["value"] < 1


def test_the_page_shows_and_cites_it(output):
    text = (output / "sub-01.html").read_text(encoding="utf-8")
    assert "Paramagnetic and diamagnetic susceptibility" in text
    assert "extended phase graphs" in text
    assert "this software" in text


def test_the_output_is_valid_bids(output):
    program = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([program, str(output), "--format", "json"], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue.get("severity") == "error"] == []


def test_without_spin_echoes_the_command_says_what_is_missing(study, tmp_path, capsys):
    bids = tmp_path / "bids"
    shutil.copytree(study, bids, ignore=shutil.ignore_patterns("*MESE*", "derivatives"))
    assert main([str(bids), str(tmp_path / "out"), "participant", "--preset", "chi-separation"]) == 3
    said = capsys.readouterr()
    assert "multi-echo spin echo (suffix MESE)" in said.err + said.out
    assert not (tmp_path / "out" / "sub-01").exists()
