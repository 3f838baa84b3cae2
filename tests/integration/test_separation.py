"""Source separation by the command, from simulated gradient and spin echoes to both maps."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.cli.stages import main as qsm
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
    scores = {each.file.rpartition("/")[2]: each for each in score(study, output)}
    assert scores["sub-01_desc-paramagnetic_Chimap.nii.gz"].xsim > 0.7
    assert scores["sub-01_desc-diamagnetic_Chimap.nii.gz"].xsim > 0.6
    assert scores["sub-01_R2map.nii.gz"].nrmse < 15
    assert "sub-01_desc-R2prime_R2map.nii.gz" in scores
    assert sum(name.endswith("Chimap.nii.gz") for name in scores) == 3


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


def test_the_stage_on_loose_files_gives_the_same_maps_bit_for_bit(study, output, tmp_path, capsys):
    anat, raw = output / "sub-01/anat", sorted((study / "sub-01/anat").glob("*part-mag_MEGRE.nii.gz"))
    words = ["separate", str(anat / "sub-01_Chimap.nii.gz"), "--method", "white_matter", "--magnitude", *map(str, raw)]
    files = {
        "mask": "desc-qsm_mask",
        "r2prime": "desc-R2prime_R2map",
        "r2prime-sd": "desc-R2primesd_R2map",
        "r2prime-mask": "desc-r2prime_mask",
        "r2star": "R2starmap",
        "r2": "R2map",
    }
    for option, name in files.items():
        words += [f"--{option}", str(anat / f"sub-01_{name}.nii.gz")]
    words += ["--local-field", str(output / "sub-01/fmap/sub-01_desc-local_fieldmap.nii.gz")]
    assert qsm([*words, "-o", str(tmp_path / "sources.nii.gz")]) == 0  # units, echo times and field are in sidecars
    assert "diamagnetic susceptibility in ppm" in capsys.readouterr().out
    for name in ("paramagnetic", "diamagnetic"):
        made = read_image(tmp_path / f"sources_{name}.nii.gz")[0]
        assert np.array_equal(made, read_image(anat / f"sub-01_desc-{name}_Chimap.nii.gz")[0])
    loose, bids = (
        json.loads(path.read_text())
        for path in (tmp_path / "sources_diamagnetic.json", anat / "sub-01_desc-diamagnetic_Chimap.json")
    )
    assert {key: loose[key] for key in loose if key.startswith(("Relax", "Sign"))} == {
        key: bids[key] for key in bids if key.startswith(("Relax", "Sign"))
    }


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
