"""What becomes of every kind of series that a QSM protocol leaves on the disk; decided by content."""

import gzip

import numpy as np
import pydicom
import pytest

from bids_app.convert.scan.header import read_instance
from tests.helpers import dicom
from tests.helpers.dicom_study import GE, PHILIPS

SIEMENS = dicom.Scanner(patient_id="A")
MAGNITUDES = tuple(f"sub-A/anat/sub-A_echo-{e}_part-mag_MEGRE.nii.gz" for e in (1, 2, 3))
PHASES = tuple(m.replace("mag", "phase") for m in MAGNITUDES)


def skipped(outcome, *words):
    assert outcome.status == "skipped", outcome
    assert all(word in outcome.reason for word in words), outcome.reason
    return not outcome.outputs


def test_magnitude_and_phase_of_three_echoes(planned, folder):
    dicom.siemens_gre(folder, SIEMENS)
    fates = planned()
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)


def test_files_that_are_compressed_one_by_one(planned, folder):
    for path in dicom.siemens_gre(folder, SIEMENS, echo_times=(20.0,)):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    assert planned()[4].outputs == ("sub-A/anat/sub-A_part-phase_T2starw.nii.gz",)


def test_single_echo_is_t2starw(planned, folder):
    dicom.siemens_gre(folder, SIEMENS, echo_times=(20.0,))
    fates = planned()
    assert fates[3].outputs == ("sub-A/anat/sub-A_part-mag_T2starw.nii.gz",)
    assert fates[4].outputs == ("sub-A/anat/sub-A_part-phase_T2starw.nii.gz",)


def test_magnitude_without_phase_is_not_needed(planned, folder):
    dicom.siemens_gre(folder, SIEMENS)
    for path in (folder / "004").iterdir():
        path.unlink()
    assert skipped(planned()[3], "without phase")


def test_uncombined_coil_images_in_one_series_are_skipped(planned, folder):
    dicom.siemens_gre(folder, SIEMENS)
    for coil in range(8):
        dicom.siemens_coil(folder, SIEMENS, 9, f"H{coil + 1}", first=1 + 8 * coil)
    fates = planned()
    assert skipped(fates[9], "uncombined coil images", "combined images of the same echoes are used")
    assert fates[3].outputs == MAGNITUDES


@pytest.mark.parametrize("in_one_series", [True, False])
def test_uncombined_coil_images_without_combined_ones_are_one_run(planned, folder, in_one_series):
    for coil in (8, 9, 10):  # the order of the numbers, not that of the alphabet
        number, first = (9, 100 * coil) if in_one_series else (9 + coil, 1)
        dicom.siemens_coil(folder, SIEMENS, number, f"H{coil}", first, "MP", (5.0, 10.0))
    fates = planned()
    outputs = [name for fate in fates.values() for name in fate.outputs]
    assert sorted(outputs) == sorted(
        f"sub-A/anat/sub-A_echo-{echo}_coil-{coil}_part-{part}_MEGRE.nii.gz"
        for echo in (1, 2)
        for coil in (1, 2, 3)
        for part in ("mag", "phase")
    )
    assert all("3 coil elements: level participant needs --set field.coils=combine" in f.reason for f in fates.values())


def test_a_combined_magnitude_is_no_coil(planned, folder):
    dicom.siemens_gre(folder, SIEMENS, echo_times=(5.0, 10.0), ProtocolName="gre_qsm")
    for path in (folder / "004").iterdir():  # the phase was not combined
        path.unlink()
    for coil in (1, 2, 3):
        dicom.siemens_coil(folder, SIEMENS, 9, f"H{coil}", 100 * coil, "MP", (5.0, 10.0))
    fates = planned()
    assert skipped(fates[3], "without phase")
    assert len(fates[9].outputs) == 12 and all("_coil-" in name for name in fates[9].outputs)


def test_coil_images_that_cannot_be_used(planned, folder):
    for coil in range(3):
        dicom.siemens_coil(folder, SIEMENS, 9, f"H{coil + 1}", first=1 + 8 * coil)
        dicom.siemens_coil(folder, SIEMENS, 10, ("H1", "H2", "HEA;HEP")[coil], 100 * coil + 1, "MP")
    fates = planned()
    assert skipped(fates[9], "without phase")
    assert skipped(fates[10], "combined images and images of single coil elements in one series")


def test_number_of_the_channel_names_the_coil_where_nothing_else_does(folder):
    data = pydicom.dcmread(dicom.siemens_coil(folder, SIEMENS, 9, "H1")[0])
    del data[0x0051, 0x100F]
    block = data.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
    for text, coil in (("12_1_1_1_1_160_1_1_1_1_1_277", "C12"), ("X_1_1_1_1_160_1_1_1_1_1_277", "")):
        block.add_new(0x06, "LO", text)
        data.save_as(folder / "one.dcm")
        assert read_instance(folder / "one.dcm").values["coil"] == coil


def test_uncombined_coil_series_beside_the_combined_one_are_skipped(planned, folder):
    dicom.siemens_gre(folder, SIEMENS)
    for coil in range(4):
        dicom.siemens_coil(folder, SIEMENS, 20 + coil, f"H{coil + 1}")
    fates = planned()
    assert all(skipped(fates[20 + coil], "uncombined coil images") for coil in range(4))
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)


@pytest.mark.parametrize(
    ("image_type", "description", "word"),
    [
        (["ORIGINAL", "PRIMARY", "M", "SWI", "NORM"], "SWI_Images", "susceptibility-weighted"),
        (["DERIVED", "SECONDARY", "MNIP", "SWI"], "mIP_Images(SW)", "projection"),
        (["DERIVED", "SECONDARY", "MIP"], "MIP_tra", "projection"),
        (["DERIVED", "SECONDARY", "M", "MINIP"], "minIP", "projection"),
        (["DERIVED", "PRIMARY", "QSM"], "QSM", "qsm made by the scanner"),
        (["DERIVED", "SECONDARY", "R2_STAR MAP"], "R2star", "r2_star map"),
    ],
)
def test_what_the_scanner_derived_is_skipped(planned, folder, image_type, description, word):
    dicom.siemens_gre(folder, SIEMENS)
    dicom.plain_series(folder, SIEMENS, 9, description, ImageType=image_type, EchoTime=20.0)
    fates = planned()
    assert skipped(fates[9], "derived", word)
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)


def test_phase_that_was_filtered_for_swi_is_skipped_with_the_reason(planned, folder):
    paths = dicom.siemens_gre(folder, SIEMENS, echo_times=(20.0,))
    for path in paths:
        data = pydicom.dcmread(path)
        data.SeriesDescription = "Pha_Images" if data.ImageType[2] == "P" else "Mag_Images"
        data.save_as(path)
    fates = planned()
    assert skipped(fates[4], "filtered for SWI")
    assert skipped(fates[3], "without phase")


def test_aspire_duplicate_gives_way_to_the_original(planned, folder):
    """The ASPIRE sequence stores its own combination beside the usual one, with the same parts and echoes."""
    dicom.siemens_gre(folder, SIEMENS, 3)
    dicom.siemens_gre(folder, SIEMENS, 5, more_types=("ASPIRE",))
    fates = planned()
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)
    assert skipped(fates[5], "another reconstruction of series 3")
    assert skipped(fates[6], "another reconstruction of series 4")


def test_normalised_and_distortion_corrected_duplicates_give_way(planned, folder):
    dicom.siemens_gre(folder, SIEMENS, 3, more_types=("NORM", "DIS2D"))
    dicom.siemens_gre(folder, SIEMENS, 5)
    fates = planned()
    assert skipped(fates[3], "another reconstruction of series 5")
    assert (fates[5].outputs, fates[6].outputs) == (MAGNITUDES, PHASES)


def test_localizer_by_its_orientations_and_by_its_name(planned, folder):
    dicom.siemens_gre(folder, SIEMENS)
    dicom.plain_series(folder, SIEMENS, 1, "first look", orientations=3)
    dicom.plain_series(folder, SIEMENS, 2, "AAHead_Scout")
    fates = planned()
    assert skipped(fates[1], "localizer", "orientations")
    assert skipped(fates[2], "localizer", "name")


def test_phase_difference_field_map_is_skipped(planned, folder):
    """Two magnitudes and the difference of their phases: the difference is no phase of an echo."""
    paths = dicom.siemens_gre(folder, SIEMENS, echo_times=(5.19, 7.65), ProtocolName="gre_two")
    for path in paths:
        if path.name.startswith("P1_"):
            path.unlink()
    fates = planned()
    assert skipped(fates[3], "phase-difference field map")
    assert skipped(fates[4], "phase-difference field map")


@pytest.mark.parametrize("technique", ["", "FFE"])
def test_classic_philips_files_whose_names_say_nothing(planned, folder, technique):
    """ImageType alone, or the scanning technique alone, shows that these are gradient echoes."""
    scanner = dicom.replace(PHILIPS, patient_id="A")
    paths = dicom.siemens_gre(folder, scanner, joint=True, ProtocolName="WIP 3D head", SequenceName="")
    for path in paths:
        data = pydicom.dcmread(path)
        is_phase = data.ImageType[2] == "P"
        kind = [data.ImageType[2]] if technique else (["PHASE MAP", "P", "FFE"] if is_phase else ["M_FFE", "M", "FFE"])
        data.ImageType = ["ORIGINAL", "PRIMARY", *kind]
        data.SeriesDescription, data.ScanningSequence = "WIP 3D head", "RM"
        if technique:
            data.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x20, "LO", technique)
        data.save_as(path)
    assert set(planned(heuristic="philips_gre")[3].outputs) == {*MAGNITUDES, *PHASES}


def test_classic_philips_spin_echo_is_not_taken(planned, folder):
    scanner = dicom.replace(PHILIPS, patient_id="A")
    kind = ["ORIGINAL", "PRIMARY", "M_SE", "M", "SE"]
    dicom.plain_series(folder, scanner, 9, "WIP head", ImageType=kind, ScanningSequence="SE", SequenceName="TSE")
    assert planned(heuristic="philips_gre")[9].status == "skipped"


def test_field_map_in_hz_is_skipped(planned, folder):
    dicom.philips_enhanced(folder / "im", dicom.replace(PHILIPS, patient_id="A"))
    dicom.plain_series(
        folder, dicom.replace(PHILIPS, patient_id="A"), 9, "B0 map", ImageType=["ORIGINAL", "PRIMARY", "B0 MAP", "B0"]
    )
    fates = planned()
    assert skipped(fates[9], "field map in Hz", "name it fieldmap in --series")
    assert fates[401].outputs == (*MAGNITUDES, *PHASES)


@pytest.mark.parametrize("sequence", ["B0map", "B0rf", "3db0map"])
def test_field_map_of_ge_is_taken_where_there_is_no_phase(planned, folder, sequence):
    dicom.ge_field_map(folder, dicom.replace(GE, patient_id="A"), 7, sequence)
    assert planned()[7].outputs == ("sub-A/fmap/sub-A_fieldmap.nii.gz", "sub-A/fmap/sub-A_magnitude.nii.gz")
    dicom.ge_gre(folder, dicom.replace(GE, patient_id="A"))
    assert skipped(planned()[7], "the phase of the gradient echo is used")


def test_field_map_and_magnitude_in_two_series(planned, folder, tmp_path):
    scanner = dicom.replace(PHILIPS, patient_id="A")
    for number in (9, 11):
        kind = ["ORIGINAL", "PRIMARY", "B0 MAP", "B0"]
        dicom.plain_series(folder, scanner, number, "B0 map", ImageType=kind)
    fates = planned()
    assert skipped(fates[9], "no magnitude image on its grid")
    dicom.plain_series(folder, scanner, 10, "gre", ImageType=["ORIGINAL", "PRIMARY", "M_FFE", "M"], EchoTime=4.0)
    fates = planned()
    assert fates[9].outputs == ("sub-A/fmap/sub-A_fieldmap.nii.gz",)
    assert fates[10].outputs == ("sub-A/fmap/sub-A_magnitude.nii.gz",)
    assert skipped(fates[11], "no magnitude image on its grid")  # one magnitude belongs to one map
    table = tmp_path / "series.tsv"
    table.write_text("series\tname\n11\tacq-b_fieldmap\n10\tskip\n9\tskip\n")
    fates = planned(series_table=table)
    assert fates[11].outputs == ("sub-A/fmap/sub-A_acq-b_fieldmap.nii.gz",)


def test_velocity_is_no_field_map(planned, folder):
    kind = ["ORIGINAL", "PRIMARY", "VELOCITY MAP", "P"]
    dicom.plain_series(folder, dicom.replace(PHILIPS, patient_id="A"), 9, "flow", ImageType=kind)
    assert skipped(planned()[9], "velocity or phase difference")


@pytest.mark.parametrize("gone", ["M2_0014.dcm", "M3_0024.dcm", "M1_0001.dcm"])
def test_incomplete_series_is_not_converted(planned, folder, gone):
    """A slice is missing inside, at the end or at the beginning of one echo's magnitude."""
    dicom.siemens_gre(folder, SIEMENS)
    (folder / "003" / gone).unlink()
    fates = planned()
    assert skipped(fates[3], "incomplete", "slice")
    assert skipped(fates[4], "incomplete: series 3 that belongs to it")  # half of it would be in the way of the whole


def test_missing_echo_makes_both_parts_incomplete(planned, folder):
    for path in dicom.siemens_gre(folder, SIEMENS):
        if path.name.startswith("M3_"):
            path.unlink()
    fates = planned()
    assert skipped(fates[3], "incomplete", "magnitude has 2 echoes, phase 3")
    assert skipped(fates[4], "incomplete")


def test_repeated_scans_get_run_numbers_and_stay_in_pairs(planned, folder):
    """Numbers of magnitude and phase are paired by time, also where the first run has no phase."""
    for run, time in enumerate(("101500", "102500", "103500")):
        dicom.siemens_gre(folder, dicom.later(SIEMENS, time), 3 + 2 * run)
    fates = planned()
    for run in (1, 2, 3):
        for number, part in ((1 + 2 * run, "mag"), (2 + 2 * run, "phase")):
            assert f"sub-A_run-{run}_echo-1_part-{part}_MEGRE.nii.gz" in fates[number].outputs[0]
    for path in (folder / "004").iterdir():
        path.unlink()
    fates = planned()
    assert skipped(fates[3], "without phase")
    assert "run-1_echo-1_part-mag" in fates[5].outputs[0] and "run-1_echo-1_part-phase" in fates[6].outputs[0]
    assert "run-2_echo-1_part-mag" in fates[7].outputs[0] and "run-2_echo-1_part-phase" in fates[8].outputs[0]


def test_different_protocols_get_acq_labels(planned, folder):
    dicom.siemens_gre(folder, SIEMENS, 3, ProtocolName="qsm_long")
    short = dicom.later(SIEMENS, "103000")
    dicom.siemens_gre(folder, short, 5, echo_times=(3.0, 6.0, 9.0), ProtocolName="qsm short")
    fates = planned()
    assert fates[3].outputs[0] == "sub-A/anat/sub-A_acq-qsmlong_echo-1_part-mag_MEGRE.nii.gz"
    assert fates[6].outputs[2] == "sub-A/anat/sub-A_acq-qsmshort_echo-3_part-phase_MEGRE.nii.gz"


def test_mprage_is_t1w(planned, folder):
    dicom.mprage(folder, SIEMENS, 2)
    assert planned()[2].outputs == ("sub-A/anat/sub-A_T1w.nii.gz",)


def test_mp2rage_keeps_the_uni_image_alone(planned, folder):
    for number, (kind, description) in enumerate(
        [
            ("M", "t1_mp2rage_INV1"),
            ("P", "t1_mp2rage_INV1_PHS"),
            ("M", "t1_mp2rage_INV2"),
            ("UNI", "t1_mp2rage_UNI"),
            ("UNI", "t1_mp2rage_UNI-DEN"),
        ],
        start=1,
    ):
        more = {"RescaleIntercept": -4096, "RescaleSlope": 2} if kind == "P" else {}
        more |= {"ImageType": ["DERIVED" if kind == "UNI" else "ORIGINAL", "PRIMARY", kind, "ND"]}
        dicom.mprage(folder, SIEMENS, number, description=description, ProtocolName="t1_mp2rage", **more)
    fates = planned()
    assert fates[4].outputs == ("sub-A/anat/sub-A_UNIT1.nii.gz",)
    assert skipped(fates[1], "MP2RAGE") and skipped(fates[2], "MP2RAGE") and skipped(fates[3], "MP2RAGE")
    assert skipped(fates[5], "denoised copy")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"ScanningSequence": "SE", "SequenceName": "*tse2d1_9", "EchoTime": 90.0}, "spin echo"),
        ({"ScanningSequence": ["EP", "GR"], "SequenceName": "*epfid2d1_64", "EchoTime": 30.0}, "without phase"),
        ({"DiffusionBValue": 1000.0, "ScanningSequence": "EP"}, "diffusion"),
        ({"AngioFlag": "Y"}, "angiography"),
        ({"Modality": "SR"}, "modality SR"),
        ({"ImageOrientationPatient": None}, "no image orientation"),
    ],
)
def test_other_scans_are_skipped(planned, folder, more, word):
    dicom.plain_series(folder, SIEMENS, 7, "other", **more)
    assert skipped(planned()[7], word)


def test_series_that_does_not_say_its_part_is_left_out(planned, folder):
    """Values below zero and no word on the part: no magnitude, and not known to be a phase."""
    dicom.plain_series(
        folder,
        SIEMENS,
        7,
        "gre",
        ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
        RescaleIntercept=-4096,
        RescaleSlope=2,
        EchoTime=20.0,
    )
    assert skipped(planned()[7], "magnitude and phase cannot be distinguished")


def test_ge_series_with_all_four_parts(planned, folder):
    dicom.ge_gre(folder, dicom.replace(GE, patient_id="A"), parts="MPRI")
    outputs = planned()[5].outputs
    assert len(outputs) == 12
    assert {*MAGNITUDES, *PHASES} < set(outputs)


def test_thin_slab_is_no_volume(planned, folder):
    dicom.siemens_gre(folder, dicom.replace(SIEMENS, shape=(16, 12, 2)))
    assert skipped(planned()[3], "only 2 slice(s)")


def test_echo_times_may_differ_in_their_last_digit(planned, folder):
    """Decimal strings of one echo differ from slice to slice on some scanners."""
    rng = np.random.default_rng(0)
    dicom.siemens_gre(folder, SIEMENS, jitter=lambda: float(rng.uniform(-2e-4, 2e-4)))
    fates = planned()
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)


def test_every_echo_in_a_series_of_its_own(planned, folder):
    for index, te in enumerate(dicom.ECHO_TIMES):
        dicom.siemens_gre(folder, SIEMENS, 3 + 2 * index, echo_times=(te,))
    fates = planned()
    for echo in (1, 2, 3):
        assert fates[1 + 2 * echo].outputs == MAGNITUDES[echo - 1 : echo]
        assert fates[2 + 2 * echo].outputs == PHASES[echo - 1 : echo]


def test_repetitions_in_one_series_are_runs(planned, folder):
    dicom.siemens_gre(folder / "first", SIEMENS)
    dicom.siemens_gre(folder / "second", SIEMENS, AcquisitionNumber=2)
    fates = planned()
    for number, part in ((3, "mag"), (4, "phase")):
        names = [x.rpartition("/")[2] for x in fates[number].outputs]
        expected = [f"sub-A_run-{r}_echo-{e}_part-{part}_MEGRE.nii.gz" for e in (1, 2, 3) for r in (1, 2)]
        assert names == expected


def test_copies_of_files_are_left_aside(planned, folder):
    for path in dicom.siemens_gre(folder, SIEMENS):
        copy = folder / "copy" / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    fates = planned()
    assert (fates[3].outputs, fates[4].outputs) == (MAGNITUDES, PHASES)
    assert fates[3].files == 24


@pytest.mark.parametrize("delay", [0, 40])
def test_phase_with_a_later_time_finds_its_magnitude(planned, folder, delay):
    """Some scanners give every series the time at which it was reconstructed."""
    for run in range(2):
        magnitude, phase = (dicom.later(SIEMENS, f"10{15 + 5 * run}{s:02d}") for s in (0, delay))
        dicom.siemens_gre(folder / "m", magnitude, 3 + 2 * run)
        dicom.siemens_gre(folder / "p", phase, 3 + 2 * run)
        for path in (*(folder / "m" / f"00{4 + 2 * run}").iterdir(), *(folder / "p" / f"00{3 + 2 * run}").iterdir()):
            path.unlink()
    fates = planned()
    for number, run, part in ((3, 1, "mag"), (4, 1, "phase"), (5, 2, "mag"), (6, 2, "phase")):
        assert fates[number].outputs[0] == f"sub-A/anat/sub-A_run-{run}_echo-1_part-{part}_MEGRE.nii.gz"


def test_name_like_t1_makes_no_anatomy_of_a_gradient_echo_with_phase(planned, folder):
    for index, te in enumerate((4.0, 7.0)):
        dicom.siemens_gre(folder, SIEMENS, 3 + 2 * index, echo_times=(te,), ProtocolName="t1_spgr_qsm")
    fates = planned()
    assert [fates[n].outputs[0].removeprefix("sub-A/anat/sub-A_") for n in (3, 4, 5, 6)] == [
        f"echo-{e}_part-{p}_MEGRE.nii.gz" for e in (1, 2) for p in ("mag", "phase")
    ]
