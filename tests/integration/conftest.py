"""A small BIDS study with a known susceptibility, oblique to the main field."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz
from tests.helpers.opened_files import take_undeclared

SHAPE = (50, 56, 44)
TIMES = (0.004, 0.009, 0.014, 0.019)


def oblique_affine():
    angle = np.radians(20)
    rotation = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([2.0, 2.0, 2.2])
    affine[:3, 3] = -40, -50, -45
    return affine


def truth():
    """Return chi (ppm), the head's mask and the total field (ppm) with a strong source outside the brain."""
    grid = Grid.from_affine(SHAPE, oblique_affine())
    x, y, z = np.meshgrid(
        *[(np.arange(n) - n / 2) * v for n, v in zip(SHAPE, grid.voxel_size, strict=True)], indexing="ij"
    )
    mask = (x / 38) ** 2 + (y / 44) ** 2 + (z / 38) ** 2 < 1
    chi = np.zeros(SHAPE, np.float32)
    for cx, cy, cz, r, value in ((12, 0, 0, 9, 0.1), (-12, 0, 0, 9, 0.1), (0, 18, 5, 7, -0.06), (0, -20, 0, 8, 0.05)):
        chi[(x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < r**2] = value
    outside = (~mask & (x**2 + (y - 44) ** 2 + (z + 38) ** 2 < 12**2)).astype(np.float32)
    return chi, mask, forward_field(chi + 4 * outside, grid)


def write_study(root: Path, subjects=("01", "02")):
    _, mask, field = truth()
    (root).mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.10.0"}))
    (root / "README").write_text("A simulated study for tests, with a susceptibility that is known exactly.\n")
    (root / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))  # inherited by all images
    hz = ppm_to_hz(field, 3.0)
    for number, label in enumerate(subjects):
        rng = np.random.default_rng(number)
        folder = root / f"sub-{label}" / "anat"
        folder.mkdir(parents=True)
        for echo, time in enumerate(TIMES, start=1):
            signal = 200 * mask * np.exp(-20 * time) * np.exp(1j * (2 * np.pi * hz * time + 0.7))
            signal = signal + 2 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
            parts = {"mag": np.abs(signal), "phase": np.rint(np.angle(signal) / np.pi * 4095)}
            for part, data in parts.items():
                name = f"sub-{label}_echo-{echo}_part-{part}_MEGRE"
                image = nib.Nifti1Image(np.asarray(data, np.int16), oblique_affine())
                nib.save(image, folder / f"{name}.nii.gz")
                sidecar = {"EchoTime": time} | ({"Units": "arbitrary"} if part == "phase" else {})
                (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return root


@pytest.fixture(autouse=True)
def steps_open_what_they_declare():
    """Fail a test in which a step has opened a file that it had not declared: a change of that would not rerun it."""
    yield
    assert take_undeclared() == []


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "bids")


@pytest.fixture
def real_data():
    folder = Path(os.environ.get("QSM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    if not (folder / "gre-small").is_dir():
        pytest.skip("the real test data is not here ($QSM_TEST_DATA or ../shared/data)")
    return folder


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """Return the folders of DICOM, dataset and output after one conversion of the study of all vendors."""
    from bids_app.cli.command import main
    from tests.helpers.dicom_study import write_dicom_study

    root = tmp_path_factory.mktemp("convert")
    source = write_dicom_study(root / "dicom")
    assert main([str(root / "bids"), str(root / "out"), "convert", "--dicom-dir", str(source)]) == 0
    return source, root / "bids", root / "out"
