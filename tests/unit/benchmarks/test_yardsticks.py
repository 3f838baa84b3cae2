"""Submission folders for the leaderboard, and scores of another simulator's data."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import yaml

from benchmarks import qsm_ci, qsm_ci_recon, simulator
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

SHAPE = (32, 30, 28)
GRID = Grid(SHAPE, (2.0, 2.0, 2.0), (0.0, 0.0, 1.0))
B0, TIMES = 3.0, [0.004, 0.008, 0.012]


def save(volume, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(volume, np.float32), np.diag([2.0, 2, 2, 1])), path)


@pytest.fixture
def inputs(tmp_path):
    """Files of the leaderboard for a ball with two sources, and the true susceptibility."""
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 12**2
    chi = 0.1 * ((x - 4) ** 2 + y**2 + z**2 < 9) - 0.08 * ((x + 4) ** 2 + y**2 + (z - 3) ** 2 < 9)
    chi = chi.astype(np.float32)
    field = forward_field(chi, GRID)
    turns = 2 * np.pi * 42.577478 * B0 * field
    phase = np.stack([np.angle(np.exp(1j * turns * t)) for t in TIMES], axis=3)
    folder = tmp_path / "in"
    magnitude = np.stack([mask + 0.01] * len(TIMES), axis=3)
    for name, volume in (
        ("phase", phase),
        ("magnitude", magnitude),
        ("totalfield", field),
        ("localfield", field * mask),
    ):
        save(volume, folder / f"{name}.nii.gz")
    save(mask, folder / "mask.nii.gz")
    params = {"B0": B0, "TE": TIMES, "voxel_size": [2, 2, 2], "B0_dir": [0, 0, 1]}
    (folder / "params.json").write_text(json.dumps(params))
    return folder, chi, field, mask


@pytest.mark.parametrize(
    ("stage", "made", "most"),
    [
        ("field-mapping", "totalfield", 0.1),
        ("bfr", "localfield", 0.7),
        ("dipole", "chimap", 0.5),
        ("bfr+dipole", "chimap", 0.8),
        ("end-to-end", "chimap", 0.8),
    ],
)
def test_a_stage_writes_its_file_near_the_truth(inputs, tmp_path, stage, made, most):
    folder, chi, field, mask = inputs
    qsm_ci_recon.main([stage, str(folder), str(tmp_path)])
    result = np.asarray(nib.load(tmp_path / f"{made}.nii.gz").dataobj)
    true = chi if made == "chimap" else field
    a, b = (m[mask] - m[mask].mean() for m in (result, true))
    assert np.linalg.norm(a - b) < most * np.linalg.norm(b)
    assert not result[~mask].any()


def test_a_submission_folder_runs_by_itself(inputs, tmp_path):
    qsm_ci.main([str(tmp_path / "sub"), "--image", "example/qsm:1", "--stages", "dipole"])
    made = tmp_path / "sub" / "qsm-bids-app-dipole"
    manifest = yaml.safe_load((made / "algorithm.yml").read_text())
    assert (manifest["stage"], manifest["image"], manifest["run"]) == ("dipole", "example/qsm:1", "bash run.sh")
    assert manifest["code_url"] is None
    assert 'recon.py" dipole' in (made / "run.sh").read_text()
    words = [sys.executable, str(made / "recon.py"), "dipole", str(inputs[0]), str(tmp_path)]
    subprocess.run(words, check=True)
    assert (tmp_path / "chimap.nii.gz").exists()


def test_scores_of_a_simulated_dataset(inputs, tmp_path):
    _, chi, _, mask = inputs
    bids, out = tmp_path / "bids", tmp_path / "out"
    truth = bids / "derivatives" / "sim" / "sub-1" / "anat"
    save(chi, truth / "sub-1_Chimap.nii.gz")
    save(mask, truth / "sub-1_mask.nii.gz")
    with pytest.raises(SystemExit, match="has no"):
        list(simulator.rows_of(bids, out, "default"))
    save((0.5 * chi + 0.01) * mask, out / "sub-1" / "anat" / "sub-1_Chimap.nii.gz")
    (row,) = simulator.rows_of(bids, out, "default")
    assert row[:3] == ("bids", "default", "sub-1_Chimap")
    assert [float(row[n]) for n in (3, 4, 6)] == [50.0, 0.0, 0.5]


def test_a_simulator_that_fails_is_named(tmp_path):
    with pytest.raises(SystemExit, match="failed with exit code 1"):
        simulator.simulate(f"{sys.executable} -c 'raise SystemExit(1)' {{bids}}", tmp_path)
    with pytest.raises(SystemExit, match="save the true susceptibility"):
        list(simulator.truth_of(tmp_path))
