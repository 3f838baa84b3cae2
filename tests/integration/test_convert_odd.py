"""Headers that are unlike the textbook's: other layouts, missing elements, nothing that says the part."""

import numpy as np
import pydicom
import pytest

from bids_app.cli.command import main
from tests.helpers import dicom
from tests.helpers.dicom_study import (
    PHILIPS,
    assert_phase_is_the_truth,
    images,
    patient,
    read_sidecar,
    report_rows,
    validator_errors,
)


@pytest.fixture
def run(tmp_path):
    def convert(*more):
        command = [str(tmp_path / "bids"), str(tmp_path / "out"), "convert", "--dicom-dir", str(tmp_path / "dicom")]
        return main([*command, *more])

    return convert


def change(paths, edit):
    for path in paths:
        data = pydicom.dcmread(path)
        edit(data)
        data.save_as(path)


def test_enhanced_files_that_dcm2niix_does_not_take_apart(run, tmp_path):
    """Magnitude and phase in one enhanced file each, with all echoes and no private element that helps."""
    for number, letter in ((5, "M"), (6, "P")):
        path = tmp_path / "dicom" / f"xa{number}"
        dicom.philips_enhanced(path, patient("XA"), number=number, parts=letter)
        component = {"M": "MAGNITUDE", "P": "PHASE"}[letter]

        def edit(data, letter=letter, component=component):
            data.ImageType, data.ComplexImageComponent = ["ORIGINAL", "PRIMARY", letter, "NONE"], component
            for frame in data.PerFrameFunctionalGroupsSequence:
                frame.remove_private_tags()

        change([path], edit)
    assert run() == 0
    assert_phase_is_the_truth(tmp_path / "bids", "XA")
    assert validator_errors(tmp_path / "bids") == []


def test_classic_philips_files_with_both_parts_in_one_series(run, tmp_path):
    paths = dicom.siemens_gre(tmp_path / "dicom", patient("Classic", PHILIPS), joint=True, SequenceName="T1FFE")

    def edit(data):
        phase = data.ImageType[2] == "P"
        data.ImageType = ["ORIGINAL", "PRIMARY", *(("PHASE MAP", "P", "FFE") if phase else ("M_FFE", "M", "FFE"))]
        if phase:
            data.RescaleSlope, data.RescaleIntercept = f"{2 * np.pi / 4096:.12g}", f"{-np.pi:.12g}"

    change(paths, edit)
    assert run() == 0
    assert_phase_is_the_truth(tmp_path / "bids", "Classic")
    assert read_sidecar(tmp_path / "bids/sub-Classic/anat/sub-Classic_echo-1_part-phase_MEGRE.nii.gz")["Units"] == "rad"


def test_phase_without_a_word_on_its_part_is_not_filed_as_a_magnitude(run, tmp_path):
    """Raw phase from 0 to 4095 whose ImageType says nothing, beside a phase that says that it is one."""
    paths = dicom.siemens_gre(tmp_path / "dicom", patient("A"), 3, rescale=False)
    for path in paths:
        if path.name.startswith("M"):
            path.unlink()
    twin = dicom.siemens_gre(tmp_path / "dicom", patient("A"), 4, rescale=False)
    untold = [p for p in twin if p.parent.name == "005"]
    for path in (tmp_path / "dicom" / "004").glob("M*"):
        path.unlink()

    def edit(data):
        data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]

    change(untold, edit)
    assert run() == 1
    assert not [x for x in images(tmp_path / "bids") if "part-mag" in x]
    (row,) = [r for r in report_rows(tmp_path / "out") if r["series"] == "5"]
    assert row["status"] == "failed" and "its values look like phase" in row["reason"]


def test_field_strength_follows_from_the_frequency_or_the_series_fails(run, tmp_path):
    change(dicom.siemens_gre(tmp_path / "dicom", patient("A")), lambda data: delattr(data, "MagneticFieldStrength"))
    assert run() == 0
    values = read_sidecar(tmp_path / "bids/sub-A/anat/sub-A_echo-1_part-phase_MEGRE.nii.gz")
    assert values["MagneticFieldStrength"] == pytest.approx(2.8947, abs=1e-4)

    def edit(data):
        del data.MagneticFieldStrength, data.ImagingFrequency

    change(dicom.siemens_gre(tmp_path / "dicom", patient("B")), edit)
    assert run() == 1
    assert not (tmp_path / "bids" / "sub-B").exists()
    assert {r["reason"] for r in report_rows(tmp_path / "out") if r["subject"] == "sub-B"} == {
        "there is no MagneticFieldStrength in its header"
    }


@pytest.mark.parametrize(
    "gone",
    [
        ("InstanceNumber", "EchoNumbers", "SOPInstanceUID"),
        ("SeriesNumber", "SeriesDescription", "ProtocolName", "SequenceName", "ScanningSequence", "RepetitionTime"),
        ("StudyInstanceUID", "SeriesInstanceUID", "Manufacturer", "Modality", "AccessionNumber", "PatientName"),
        (
            "StudyDate",
            "SeriesDate",
            "AcquisitionDate",
            "ContentDate",
            "StudyTime",
            "SeriesTime",
            "AcquisitionTime",
            "ContentTime",
            "PatientAge",
            "PatientSex",
            "AcquisitionNumber",
        ),
    ],
)
def test_missing_elements_do_no_harm(run, tmp_path, gone):
    def edit(data):
        for name in gone:
            if name in data:
                delattr(data, name)

    change(dicom.siemens_gre(tmp_path / "dicom", patient("A")), edit)
    assert run() == 0
    assert_phase_is_the_truth(tmp_path / "bids", "A")
    assert validator_errors(tmp_path / "bids") == []


def test_real_and_imaginary_images_in_series_of_their_own(run, tmp_path):
    for number, letter in ((5, "R"), (6, "I")):
        dicom.philips_enhanced(tmp_path / "dicom" / f"im{number}", patient("A", PHILIPS), number=number, parts=letter)
    assert run() == 0
    assert_phase_is_the_truth(tmp_path / "bids", "A")
    assert len(images(tmp_path / "bids")) == 12


def test_very_old_and_very_young_people(run, tmp_path):
    dicom.mprage(tmp_path / "dicom" / "1", patient("Old", extra={"PatientAge": "095Y"}))
    dicom.mprage(tmp_path / "dicom" / "2", patient("Young", extra={"PatientAge": "006M"}))
    assert run() == 0
    assert validator_errors(tmp_path / "bids") == []
    text = (tmp_path / "bids" / "participants.tsv").read_text()
    assert "sub-Old\t89+\tF" in text and "sub-Young\t0.50\tF" in text


def test_parts_that_no_header_says_are_given_by_a_series_table(run, tmp_path):
    """Programs that remove identities empty ImageType: a person says which series holds the phase."""
    magnitudes, phases = dicom.truth()
    stored = {5: [dicom.magnitude_pixels(m) for m in magnitudes], 6: [dicom.siemens_phase(p) for p in phases]}
    for number, volumes in stored.items():
        for index, te in enumerate(dicom.ECHO_TIMES):
            data = dicom.header(dicom.Scanner(), number, "gre_qsm", ImageType=["ORIGINAL", "PRIMARY"])
            data.EchoTime, data.EchoNumbers = te, index + 1
            dicom.write_slices(tmp_path / "dicom" / str(number), data, volumes[index], 1 + 8 * index, stem=f"{index}_")
    table = tmp_path / "series.tsv"
    table.write_text("series\tpart\n6\tphase\n")
    assert run("--series", str(table)) == 0
    assert report_rows(tmp_path / "out")[1]["reason"] == "phase by --series"
    assert_phase_is_the_truth(tmp_path / "bids", "P001")
