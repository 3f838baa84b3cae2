"""From DICOM to BIDS, by the command: what every vendor stores, in one study."""

import nibabel as nib
import numpy as np
import pytest

from tests.helpers.dicom_study import (
    GRADIENT_ECHOES,
    assert_phase_is_the_truth,
    images,
    read_sidecar,
    report_rows,
    rows,
    validator_errors,
)


def test_dataset_is_valid_and_complete(converted):
    _, bids, _ = converted
    assert validator_errors(bids) == []
    assert {r["participant_id"] for r in rows(bids / "participants.tsv")} == {f"sub-{s}" for s in GRADIENT_ECHOES}
    assert (bids / "README.md").is_file() and (bids / "dataset_description.json").is_file()
    for label in GRADIENT_ECHOES:
        images_there = {str(p.relative_to(bids / f"sub-{label}")) for p in (bids / f"sub-{label}").rglob("*.nii.gz")}
        assert {r["filename"] for r in rows(bids / f"sub-{label}" / f"sub-{label}_scans.tsv")} == images_there
    assert "sub-Separate_T1w" in images(bids)


@pytest.mark.parametrize("label", GRADIENT_ECHOES)
def test_phase_in_radians_is_what_was_written(converted, label):
    assert_phase_is_the_truth(converted[1], label)


@pytest.mark.parametrize("label", GRADIENT_ECHOES)
def test_no_phase_is_filed_as_a_magnitude(converted, label):
    folder = converted[1] / f"sub-{label}" / "anat"
    magnitudes, phases = sorted(folder.glob("*part-mag*.nii.gz")), sorted(folder.glob("*part-phase*.nii.gz"))
    assert len(phases) == len(magnitudes) == 3
    means = [np.asarray(nib.load(path).dataobj).mean() for path in magnitudes]
    assert means[0] > means[1] > means[2] > 0  # decays with the echo time, as no phase does
    for path in magnitudes:
        assert "Units" not in read_sidecar(path)
    for path in phases:
        assert read_sidecar(path)["Units"] == ("rad" if label[:2] in ("Ge", "Ph") else "arbitrary")


def test_report_lists_every_series(converted):
    _, _, out = converted
    table = report_rows(out)
    assert len(table) == 12
    assert {r["status"] for r in table} == {"converted"}
    ways = {r["subject"]: r["converted_with"] for r in table}
    assert ways["sub-Separate"] == ways["sub-Ge"] == "heudiconv"
    assert ways["sub-Philips"] == "dcm2niix"
    page = (out / "conversion_report.md").read_text()
    assert all(f"| {label} |" in page for label in GRADIENT_ECHOES)
