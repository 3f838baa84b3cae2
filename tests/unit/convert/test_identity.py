"""Which files belong together where UIDs, dates or times are not unique: nothing is mixed, nothing is lost."""

import numpy as np
import pydicom
import pytest

from bids_app.convert import ConvertRequest, convert
from tests.helpers import dicom

SIEMENS = dicom.Scanner(patient_id="A")


@pytest.fixture
def report(tmp_path):
    def plan(**options):
        request = ConvertRequest(
            tmp_path / "bids",
            tmp_path / "out",
            tmp_path / "work",
            dicom_dir=tmp_path / "dicom",
            dry_run=True,
            **options,
        )
        return convert(request)

    return plan


def change(folder, edit):
    for path in sorted(folder.rglob("*.dcm")):
        data = pydicom.dcmread(path)
        edit(data)
        data.save_as(path)


def visit(folder, number, uids):
    """Write a visit whose date and time are every visit's; ``uids`` are those of magnitude and phase."""

    def edit(data):
        part = data.ImageType[2]
        data.StudyInstanceUID = f"1.2.{number}"
        data.SeriesInstanceUID = f"1.3.{uids[part]}"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()

    dicom.siemens_gre(folder, SIEMENS)
    change(folder, edit)


def sources_by_session(report):
    sources = {}
    for outcome in report.outcomes:
        assert outcome.status == "planned", outcome
        sources.setdefault(outcome.session, set()).add(outcome.source.partition("/")[0])
    return sources


def accounted(report, count):
    assert sum(o.files for o in report.outcomes) == count, report.outcomes
    return not report.problems


def test_visits_with_one_date_and_time_are_sessions_of_their_own(report, tmp_path):
    visit(tmp_path / "dicom" / "visit1", 1, {"M": 1, "P": 4})
    visit(tmp_path / "dicom" / "visit2", 2, {"M": 2, "P": 3})
    conversion = report()
    assert sorted(map(sorted, sources_by_session(conversion).values())) == [["visit1"], ["visit2"]]
    assert accounted(conversion, 96)
    assert any("the same date and time" in note for note in conversion.notes)


def test_parts_of_two_studies_in_one_session_are_never_paired(report, tmp_path):
    visit(tmp_path / "dicom" / "ses-1" / "visit1", 1, {"M": 1, "P": 4})
    visit(tmp_path / "dicom" / "ses-1" / "visit2", 2, {"M": 2, "P": 3})
    conversion = report()
    runs = {}
    for outcome in conversion.outcomes:
        for name in outcome.outputs:
            runs.setdefault(name.partition("_run-")[2][:1], set()).add(outcome.source)
    assert len(runs) == 2 and all(len({source.split("/")[1] for source in some}) == 1 for some in runs.values()), runs
    assert accounted(conversion, 96)


def test_earlier_session_keeps_its_label_from_a_new_study(report, tmp_path):
    """The new study alone has the date of a session that is in the dataset: it is another session."""
    from bids_app.convert.name.patients import Study, place_studies
    from bids_app.convert.name.privacy import short_hash

    request = ConvertRequest(tmp_path, tmp_path, tmp_path, dicom_dir=tmp_path)
    new = Study("1.2.9", "A", "20240131", "101500", (), frozenset())
    known = {"A": {short_hash("1.2.1"): "20240131"}}
    places, _ = place_studies([new], request, known)
    assert places["1.2.9"].session == "20240131T101500"


@pytest.mark.parametrize("per_part", [False, True])
def test_study_uid_that_differs_from_volume_to_volume(report, tmp_path, per_part):
    def edit(data):
        echo = round(float(data.EchoTime))
        data.StudyInstanceUID = f"1.2.{echo}{'1' if per_part and data.ImageType[2] == 'P' else ''}"
        data.FrameOfReferenceUID = "1.9.1"

    dicom.siemens_gre(tmp_path / "dicom", SIEMENS)
    change(tmp_path / "dicom", edit)
    conversion = report()
    assert {o.session for o in conversion.outcomes} == {None}
    assert sorted(name for o in conversion.outcomes for name in o.outputs) == sorted(
        f"sub-A/anat/sub-A_echo-{e}_part-{part}_MEGRE.nii.gz" for e in (1, 2, 3) for part in ("mag", "phase")
    )
    assert accounted(conversion, 48)


@pytest.mark.parametrize("shared", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("other", [{"patient_id": "B"}, {"date": "20240315"}])
def test_uids_that_are_used_again_lose_nothing(report, tmp_path, shared, other):
    """Between patients, and between two visits of one; the images differ."""
    for name, scanner in (("one", SIEMENS), ("two", dicom.replace(SIEMENS, **other))):

        def edit(data, name=name):
            if shared == "SOPInstanceUID":
                data.SOPInstanceUID = f"1.5.{data.ImageType[2] == 'M':d}.{data.InstanceNumber}"
                data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            elif shared == "SeriesInstanceUID":
                data.SeriesInstanceUID = f"1.6.{data.SeriesNumber}"
            else:
                data.StudyInstanceUID = "1.7"
            if name == "two":
                pixels = np.frombuffer(data.PixelData, np.uint16) // 2
                data.PixelData = pixels.astype(np.uint16).tobytes()

        dicom.siemens_gre(tmp_path / "dicom" / name, scanner)
        change(tmp_path / "dicom" / name, edit)
    conversion = report()
    assert len(conversion.outcomes) == 4 and {o.status for o in conversion.outcomes} == {"planned"}
    assert len({(o.subject, o.session) for o in conversion.outcomes}) == 2
    assert len({name for o in conversion.outcomes for name in o.outputs}) == 12
    assert accounted(conversion, 96)


def test_patients_without_uids_stay_apart(report, tmp_path):
    def edit(data):
        del data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID

    for label in "AB":
        dicom.siemens_gre(tmp_path / "dicom" / label, dicom.replace(SIEMENS, patient_id=label))
    change(tmp_path / "dicom", edit)
    conversion = report()
    assert {o.subject for o in conversion.outcomes} == {"A", "B"}
    assert accounted(conversion, 96)


def test_copies_count_once_and_are_reported(report, tmp_path):
    """A copy has the same image; an archive may have changed an element of the header."""
    dicom.siemens_gre(tmp_path / "dicom" / "one", SIEMENS)
    (tmp_path / "dicom" / "two").mkdir()
    for number, path in enumerate(sorted((tmp_path / "dicom" / "one").rglob("*.dcm"))):
        data = pydicom.dcmread(path)
        data.StationName = "ARCHIVE" if number % 2 else "SCANNER"
        data.save_as(tmp_path / "dicom" / "two" / f"{number:03d}.dcm")
    conversion = report()
    assert {o.status for o in conversion.outcomes} == {"planned"} and accounted(conversion, 48)
    assert "48 file(s) are copies of others" in " ".join(conversion.notes)


def test_files_of_participants_that_were_not_asked_for_are_reported(report, tmp_path):
    for label in "AB":
        dicom.siemens_gre(tmp_path / "dicom" / label, dicom.replace(SIEMENS, patient_id=label))
    conversion = report(participant_labels=("A",))
    assert accounted(conversion, 48)
    assert "48 file(s) of 2 series belong to participants or sessions that were not asked for" in " ".join(
        conversion.notes
    )


def test_an_account_that_does_not_balance_is_a_problem():
    from types import SimpleNamespace

    from bids_app.convert.write.jobs import check_account

    series = [SimpleNamespace(instances=(1, 2, 3))]
    problems, notes = [], []
    check_account(series, [SimpleNamespace(series=series)], [SimpleNamespace(files=2)], problems, notes)
    assert "3 files came in and 2 are accounted for" in problems[0].reason and not notes


@pytest.mark.parametrize("shift", [0.0, 0.0045, 0.005, -0.0051])
def test_echo_times_that_differ_in_the_last_digits_are_one(report, tmp_path, shift):
    """From slice to slice and from magnitude to phase, also at the border of two roundings."""

    def edit(data):
        more = 0.001 * (data.InstanceNumber % 2) + (0.004 if data.ImageType[2] == "P" else 0)
        data.EchoTime = f"{float(data.EchoTime) + shift + more:.4f}"

    dicom.siemens_gre(tmp_path / "dicom", SIEMENS)
    change(tmp_path / "dicom", edit)
    conversion = report()
    assert sorted(name for o in conversion.outcomes for name in o.outputs) == sorted(
        f"sub-A/anat/sub-A_echo-{e}_part-{part}_MEGRE.nii.gz" for e in (1, 2, 3) for part in ("mag", "phase")
    )


@pytest.mark.parametrize("second", ["20250102", "20240101"])
def test_a_study_over_midnight_is_one(report, tmp_path, second):
    files = dicom.siemens_gre(tmp_path / "dicom", SIEMENS)
    dates = {}

    def edit(data):
        z = float(data.ImagePositionPatient[2])
        dates.setdefault(z, ("20250101", second)[len(dates) % 2])
        data.StudyDate = dates[z]

    change(tmp_path / "dicom", edit)
    outcomes = report().outcomes
    assert len(outcomes) == 2 and {o.session for o in outcomes} == {None}
    assert sum(o.files for o in outcomes) == len(files)


def test_visits_with_the_same_uids_and_other_slices_stay_apart(report, tmp_path):
    for visit, shift in (("20250101", 0.0), ("20250301", 0.3)):
        dicom.siemens_gre(tmp_path / "dicom" / visit, SIEMENS)

        def edit(data, visit=visit, shift=shift):
            data.StudyDate = visit
            x, y, z = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, f"{float(z) + shift:.3f}"]

        change(tmp_path / "dicom" / visit, edit)
    assert {o.session for o in report().outcomes} == {"20250101", "20250301"}
