"""Loose NIfTI files to BIDS, by the command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from tests.helpers import dicom
from tests.helpers.dicom_study import GRADIENT_ECHOES, assert_phase_is_the_truth, images, report_rows, validator_errors


@pytest.fixture(scope="module")
def loose(converted, tmp_path_factory):
    """Return a folder per subject with what dcm2niix makes of its DICOM files."""
    root = tmp_path_factory.mktemp("nifti")
    dcm2niix = Path(sys.executable).parent / "dcm2niix"
    for folder, label in zip("abcdefgh", GRADIENT_ECHOES, strict=True):
        (root / label).mkdir()
        command = [dcm2niix, "-z", "y" if label == "Ge" else "n", "-o", root / label, converted[0] / folder]
        subprocess.run(command, capture_output=True, check=True)
    return root


def test_folder_of_dcm2niix_gives_the_dataset_that_dicom_gives(converted, loose, tmp_path):
    bids, out = tmp_path / "bids", tmp_path / "out"
    assert main([str(bids), str(out), "convert", "--nifti-dir", str(loose)]) == 0
    assert images(bids) == images(converted[1])
    assert validator_errors(bids) == []
    for label in GRADIENT_ECHOES:
        assert_phase_is_the_truth(bids, label)
    assert {r["converted_with"] for r in report_rows(out)} == {"copy"}


def write_table(root, lines):
    table = root / "files.tsv"
    table.write_text("path\tsubject\tsession\tpart\techo\tEchoTime\tB0\n" + "".join("\t".join(x) + "\n" for x in lines))
    return table


def write_truth(root, label="S-1", session="2"):
    """Write the truth as images without sidecars; returns the lines of a table."""
    affine = np.diag([-1.0, -1, 2, 1])
    affine[:3, 3] = 10, 20, 0
    lines = []
    for echo, (magnitude, phase) in enumerate(zip(*dicom.truth(), strict=True), start=1):
        for part, data in (("mag", magnitude), ("phase", phase)):
            path = root / f"{label}-{part}{echo}.nii"
            nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
            lines.append([path.name, label, session, part, str(echo), str(dicom.ECHO_TIMES[echo - 1] / 1000), "3"])
    return lines


def test_table_describes_images_without_sidecars(tmp_path):
    table = write_table(tmp_path, write_truth(tmp_path))
    bids, out = tmp_path / "bids", tmp_path / "out"
    assert main([str(bids), str(out), "convert", "--nifti-table", str(table)]) == 0
    assert_phase_is_the_truth(bids, "S1")
    assert images(bids)[0] == "sub-S1_ses-2_echo-1_part-mag_MEGRE"
    assert validator_errors(bids) == []
    assert "'S-1' is not a BIDS label; it became sub-S1" in (out / "conversion_report.md").read_text()


def test_list_of_echo_times_splits_an_image_with_four_dimensions(tmp_path):
    lines = []
    for part, echoes in zip(("mag", "phase"), dicom.truth(), strict=True):
        affine = np.diag([-1.0, -1, 2, 1])
        affine[:3, 3] = 10, 20, 0
        nib.save(nib.Nifti1Image(np.stack(echoes, -1).astype(np.float32), affine), tmp_path / f"{part}.nii.gz")
        lines.append([f"{part}.nii.gz", "A", "", part, "", "0.005,0.010,0.015", "3"])
    bids = tmp_path / "bids"
    table = str(write_table(tmp_path, lines))
    assert main([str(bids), str(tmp_path / "out"), "convert", "--nifti-table", table]) == 0
    assert_phase_is_the_truth(bids, "A")


def test_rows_that_are_wrong_are_named_and_stop_nothing(tmp_path, capsys):
    lines = write_truth(tmp_path) + write_truth(tmp_path, "B")
    lines[6][5] = "5"
    lines.append(["missing.nii", "C", "", "mag", "1", "0.005", "3"])
    damaged = tmp_path / "D.nii.gz"
    damaged.write_bytes(gzip.compress(b"nothing that is an image" * 50))
    lines.append(["D.nii.gz", "D", "", "mag", "1", "0.005", "3"])
    bids, out = tmp_path / "bids", tmp_path / "out"
    assert main([str(bids), str(out), "convert", "--nifti-table", str(write_table(tmp_path, lines))]) == 1
    said = capsys.readouterr().out
    for words in ("line 8: EchoTime is 5: it looks like milliseconds", "'missing.nii'", "D.nii.gz: cannot be read"):
        assert words in said
    assert_phase_is_the_truth(bids, "S1")
    assert not (bids / "sub-B").exists()  # magnitude and phase without their first echo are incomplete


def test_images_without_echo_time_or_sidecar_are_refused(tmp_path, capsys):
    write_truth(tmp_path)
    assert main([str(tmp_path / "b"), str(tmp_path / "o"), "convert", "--nifti-dir", str(tmp_path)]) == 3
    assert "has no JSON file of the same name" in capsys.readouterr().err


def test_bids_names_are_understood(converted, tmp_path):
    bids = tmp_path / "bids"
    assert main([str(bids), str(tmp_path / "out"), "convert", "--nifti-dir", str(converted[1])]) == 0
    assert images(bids) == images(converted[1])


def test_pattern_finds_subjects_in_file_names_of_one_folder(tmp_path):
    source, bids = tmp_path / "flat", tmp_path / "bids"
    source.mkdir()
    for label in ("S1", "S2"):
        for name, *_, part, _, echo_time, field in write_truth(source, label):
            token = {"mag": "M", "phase": "P"}[part]
            values = {"EchoTime": float(echo_time), "MagneticFieldStrength": float(field), "SeriesNumber": 4}
            values["ImageType"] = ["ORIGINAL", "PRIMARY", token]
            (source / name.replace(".nii", ".json")).write_text(json.dumps(values))
    command = [str(bids), str(tmp_path / "out"), "convert", "--nifti-dir", str(source), "--subject-pattern", r"S\d"]
    assert main(command) == 0
    for label in ("S1", "S2"):
        assert_phase_is_the_truth(bids, label)
