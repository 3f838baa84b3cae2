"""From DICOM to the table of the whole study, in one call."""

import csv

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from tests.helpers import dicom
from tests.helpers.dicom_study import patient


@pytest.mark.slow
def test_convert_participant_group_ends_with_the_table(tmp_path):
    scans = tmp_path / "dicom"
    dicom.siemens_gre(scans / "a", patient("A"))
    dicom.siemens_gre(scans / "b", patient("B"), joint=True)
    # Regions drawn by hand, on the grid that the conversion gives.
    assert main([str(tmp_path / "first"), str(tmp_path / "report"), "convert", "--dicom-dir", str(scans)]) == 0
    like = nib.load(next((tmp_path / "first").rglob("sub-A*part-phase*.nii.gz")))
    labels = np.zeros(like.shape, np.int16)
    middle = [n // 2 for n in like.shape]
    labels[middle[0] - 3 : middle[0], middle[1] - 3 : middle[1] + 3, middle[2] - 1 : middle[2] + 1] = 1
    labels[middle[0] : middle[0] + 3, middle[1] - 3 : middle[1] + 3, middle[2] - 1 : middle[2] + 1] = 2
    for subject in "AB":
        nib.save(nib.Nifti1Image(labels, like.affine), tmp_path / f"sub-{subject}_lesions_dseg.nii.gz")
        (tmp_path / f"sub-{subject}_lesions_dseg.tsv").write_text("index\tname\n1\tleft\n2\tright\n")
    out = tmp_path / "out"
    code = main(
        [
            str(tmp_path / "bids"),
            str(out),
            "convert",
            "participant",
            "group",
            "--dicom-dir",
            str(scans),
            "--preset",
            "fast",
            "--template",
            "none",
            "--segmentation",
            "none",
            "--extra-dseg",
            str(tmp_path / "sub-{subject}_lesions_dseg.nii.gz"),
        ]
    )
    assert code == 0
    (wide,) = out.glob("group_*_stats.csv")
    with wide.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["participant_id"] for row in rows] == ["sub-A", "sub-B"]
    values = [column for column in rows[0] if "left" in column or "right" in column]
    assert len(values) >= 2
    assert all(np.isfinite(float(row[column])) for row in rows for column in values)
    # Both ways of storing hold the same scan: the same numbers come out.
    assert [float(rows[0][c]) for c in values] == pytest.approx([float(rows[1][c]) for c in values], abs=2e-4)
