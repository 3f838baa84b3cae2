"""A DICOM study with one subject per way of storing a gradient echo, and what tests ask of its conversion."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_app.dataset.query import find_subjects
from bids_app.model.step import StepInput
from bids_app.steps.participant.load import load_echoes
from tests.helpers import dicom

GE = dicom.Scanner(vendor="GE MEDICAL SYSTEMS")
PHILIPS = dicom.Scanner(vendor="Philips Medical Systems")
#: Subjects of the study and how their gradient echo is made; all have the truth of the helper.
GRADIENT_ECHOES = ("Separate", "Joint", "SharedNumbers", "Raw", "Ge", "GeComplex", "Philips", "PhilipsComplex")


def patient(label, base=dicom.Scanner(), **more):
    return dicom.replace(base, **{"patient_id": label, "patient_name": "Mustermann^Xaver", **more})


def write_dicom_study(root):
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
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def report_rows(out):
    return rows(out / "conversion_report.tsv")


def images(bids):
    """Return the names of all images of a dataset, without extension."""
    return sorted(p.name.removesuffix(".nii.gz") for p in bids.glob("sub-*/**/*.nii.gz"))


def read_sidecar(image):
    return json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())


def validator_errors(bids_dir):
    command = [Path(sys.executable).parent / "bids-validator-deno", "--format", "json", bids_dir]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [i for i in json.loads(done.stdout)["issues"]["issues"] if i["severity"] == "error"]


def at_voxels_of(path, image):
    """Return ``[column, row, slice]`` values of the DICOM files at the voxels of a NIfTI image, by position."""
    nifti = nib.load(path)
    indices = np.stack(np.meshgrid(*map(np.arange, nifti.shape), indexing="ij"), axis=-1)
    right, front, up = np.moveaxis(nib.affines.apply_affine(nifti.affine, indices), -1, 0)
    column, row, section = (np.rint(x).astype(int) for x in (10 - right, 20 - front, up / 2))
    return image[column, row, section]


def assert_phase_is_the_truth(bids, label):
    """Check echoes, times and the phase in radians that the participant level sees, against what was written."""
    (run,) = find_subjects(bids, [label])[0].runs
    assert [e.number for e in run.echoes] == [1, 2, 3]
    assert np.allclose(run.echo_times, np.array(dicom.ECHO_TIMES) / 1000, atol=1e-6)
    assert run.field_strength == 3
    magnitude, phase, _ = load_echoes(StepInput(run, None, {}, bids, 1))
    for index, truths in enumerate(zip(*dicom.truth(), strict=True)):
        true_magnitude, true_phase = (at_voxels_of(run.echoes[index].phase, image) for image in truths)
        assert np.abs(np.angle(np.exp(1j * (phase[index] - true_phase)))).max() < 0.002
        assert np.corrcoef(magnitude[index].ravel(), true_magnitude.ravel())[0, 1] > 0.9999
