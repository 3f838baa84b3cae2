"""Slices whose echo times hardly differ are one image for dcm2niix too."""

import pydicom

from bids_app.convert.write.dcm2niix import _unite_echo_times
from tests.helpers import dicom


def test_echo_times_of_slices_become_that_of_their_volume_and_the_users_files_stay(tmp_path):
    paths = dicom.siemens_gre(tmp_path / "dicom", dicom.Scanner(), jitter=iter([0.0, 0.0005] * 1000).__next__)
    linked = tmp_path / "linked"
    linked.mkdir()
    for number, path in enumerate(paths):
        (linked / f"{number}.dcm").symlink_to(path)
    before = [path.read_bytes() for path in paths]
    assert _unite_echo_times(linked, list(dicom.ECHO_TIMES))
    assert {float(pydicom.dcmread(path).EchoTime) for path in linked.iterdir()} == set(dicom.ECHO_TIMES)
    assert [path.read_bytes() for path in paths] == before
    same = [pydicom.dcmread(linked / f"{n}.dcm").PixelData == pydicom.dcmread(p).PixelData for n, p in enumerate(paths)]
    assert all(same)
    assert not _unite_echo_times(linked, list(dicom.ECHO_TIMES)), "there is nothing left to change"


def test_echo_times_of_other_volumes_stay_as_they_are(tmp_path):
    paths = dicom.siemens_gre(tmp_path / "dicom", dicom.Scanner())
    assert not _unite_echo_times(paths[0].parent, [dicom.ECHO_TIMES[0], None])
    assert not _unite_echo_times(paths[0].parent, [])
