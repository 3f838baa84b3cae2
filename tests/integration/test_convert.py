"""From DICOM to BIDS and on to maps, by the command."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli import main
from bids_app.dataset.query import find_subjects
from bids_app.steps.common import load_echoes
from tests.helpers import dicom

GE = dicom.Scanner(vendor="GE MEDICAL SYSTEMS")
PHILIPS = dicom.Scanner(vendor="Philips Medical Systems")
#: Subjects of the study and how their gradient echo is made; all have the truth of the helper.
GRADIENT_ECHOES = ("Separate", "Joint", "SharedNumbers", "Raw", "Ge", "GeComplex", "Philips", "PhilipsComplex")


def patient(label, base=dicom.Scanner()):
    return dicom.replace(base, patient_id=label, patient_name="Mustermann^Xaver")


def write_dicom_study(root):
    """Write one subject per way of storing a gradient echo."""
    dicom.siemens_gre(root / "a", patient("Separate"))
    dicom.mprage(root / "a", patient("Separate"))
    dicom.siemens_gre(root / "b", patient("Joint"), joint=True)
    dicom.siemens_gre(root / "c", patient("SharedNumbers"), shared_instance_numbers=True)
    dicom.siemens_gre(root / "d", patient("Raw"), rescale=False)
    dicom.ge_gre(root / "e", patient("Ge", GE))
    dicom.ge_gre(root / "f", patient("GeComplex", GE), parts="RI")
    dicom.philips_enhanced(root / "g" / "IM_0001", patient("Philips", PHILIPS))
    dicom.philips_enhanced(root / "h" / "IM_0001", patient("PhilipsComplex", PHILIPS), parts="RI")
    return root


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def validator_errors(bids_dir):
    command = [Path(sys.executable).parent / "bids-validator-deno", "--format", "json", bids_dir]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [i for i in json.loads(done.stdout)["issues"]["issues"] if i["severity"] == "error"]


def at_voxels_of(echo, image):
    """Return ``[column, row, slice]`` values of the DICOM files at the voxels of the NIfTI image, by position."""
    found = nib.load(echo.phase or echo.real)
    indices = np.stack(np.meshgrid(*map(np.arange, found.shape), indexing="ij"), axis=-1)
    right, front, up = np.moveaxis(nib.affines.apply_affine(found.affine, indices), -1, 0)
    column, row, section = (np.rint(x).astype(int) for x in (10 - right, 20 - front, up / 2))
    return image[column, row, section]


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Return the folders of DICOM, dataset and output after one conversion of the whole study."""
    root = tmp_path_factory.mktemp("convert")
    source = write_dicom_study(root / "dicom")
    code = main([str(root / "bids"), str(root / "out"), "convert", "--dicom-dir", str(source)])
    assert code == 0
    return source, root / "bids", root / "out"


def test_dataset_is_valid_and_complete(converted):
    _, bids, _ = converted
    assert validator_errors(bids) == []
    assert {r["participant_id"] for r in rows(bids / "participants.tsv")} == {f"sub-{s}" for s in GRADIENT_ECHOES}
    assert (bids / "README.md").is_file() and (bids / "dataset_description.json").is_file()
    for label in GRADIENT_ECHOES:
        images = {str(p.relative_to(bids / f"sub-{label}")) for p in (bids / f"sub-{label}").rglob("*.nii.gz")}
        assert {r["filename"] for r in rows(bids / f"sub-{label}" / f"sub-{label}_scans.tsv")} == images
    assert (bids / "sub-Separate/anat/sub-Separate_T1w.nii.gz").is_file()


@pytest.mark.parametrize("label", GRADIENT_ECHOES)
def test_phase_in_radians_is_what_was_written(converted, label):
    _, bids, _ = converted
    (run,) = find_subjects(bids, [label])[0].runs
    assert [e.number for e in run.echoes] == [1, 2, 3]
    assert np.allclose(run.echo_times, np.array(dicom.ECHO_TIMES) / 1000, atol=1e-6)
    assert run.field_strength == 3
    magnitude, phase, _ = load_echoes(run)
    for echo, images in enumerate(zip(*dicom.truth(), strict=True)):
        true_magnitude, true_phase = (at_voxels_of(run.echoes[echo], image) for image in images)
        assert np.abs(np.angle(np.exp(1j * (phase[echo] - true_phase)))).max() < 0.002
        assert np.corrcoef(magnitude[echo].ravel(), true_magnitude.ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("label", GRADIENT_ECHOES)
def test_part_in_the_name_is_the_part_in_the_image(converted, label):
    _, bids, _ = converted
    phases = sorted((bids / f"sub-{label}").rglob("*part-phase*.nii.gz"))
    magnitudes = sorted((bids / f"sub-{label}").rglob("*part-mag*.nii.gz"))
    assert len(phases) == len(magnitudes) == 3
    for path in magnitudes:
        data = np.asarray(nib.load(path).dataobj)
        assert data.min() > 0  # the phase of the truth is as often below zero as above, or fills its range from 0
        assert "Units" not in json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
