"""Maps as DICOM: identity and position of the source, values that other programs read, refusals."""

import re

import nibabel as nib
import numpy as np
import pydicom
import pytest

from bids_app.convert.export.classic import Map, write_classic
from bids_app.convert.export.parametric import write_parametric
from bids_app.convert.export.source import find_source, on_slices, volumes_of
from bids_app.convert.scan.files import scan
from bids_app.convert.write.tools import find_dcm2niix, run
from bids_app.errors import InputRefusedError
from tests.helpers import dicom_standard
from tests.helpers.dicom import Scanner, enhanced, siemens_gre, truth

PATIENT = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "StudyDate",
]


def as_nifti(folder, out):
    """Return the single image that dcm2niix makes of a folder."""
    out.mkdir()
    run([find_dcm2niix(), "-b", "n", "-z", "n", "-o", str(out), str(folder)], out)
    (image,) = out.glob("*.nii")
    return nib.load(image)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A volume that was found by what dcm2niix makes of it, the image, and a map on its grid."""
    folder = tmp_path_factory.mktemp("export")
    siemens_gre(folder / "dicom", echo_times=(5.0,), FrameOfReferenceUID="1.2.3.4")
    volumes = volumes_of(scan(folder / "dicom", folder / "unpacked").instances)
    image = as_nifti(folder / "dicom" / "003", folder / "nifti")
    volume = find_source(volumes, image.get_fdata(), image.affine, "sub-01_MEGRE.nii.gz")
    assert "M" in volume.slices[0].ImageType
    rng = np.random.default_rng(0)
    chi = rng.normal(0, 100, image.shape).astype(np.float32)  # ppb
    turned = on_slices(chi, image.affine, volume)
    return folder, volume, image, chi, Map(turned, "QSM", "QSM by RTS, relative to csf", "[ppb]", "parts per billion")


def test_classic_slices_read_back_to_the_same_values_and_orientation(source, tmp_path):
    _, volume, image, chi, exported = source
    paths = write_classic(exported, volume, tmp_path / "chi", 9001)
    assert len(paths) == image.shape[2]
    back = as_nifti(tmp_path / "chi", tmp_path / "nifti")
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-4)
    np.testing.assert_allclose(back.get_fdata(), chi, atol=np.abs(chi).max() / 32767)


def test_classic_slices_carry_what_the_standard_asks_for(source, tmp_path):
    _, volume, _, _, exported = source
    read = [pydicom.dcmread(path) for path in write_classic(exported, volume, tmp_path / "chi", 9001)]
    for data, origin in zip(read, volume.slices, strict=True):
        assert dicom_standard.problems(data) == []
        assert [data.get(name) for name in PATIENT] == [origin.get(name) for name in PATIENT]
        assert data.SeriesInstanceUID != origin.SeriesInstanceUID
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == origin.SOPInstanceUID
        assert data.DerivationDescription and data.DerivationCodeSequence[0].CodeMeaning
        (mapping,) = data.RealWorldValueMappingSequence
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[ppb]"
        assert mapping.RealWorldValueSlope == float(data.RescaleSlope)
    assert len({data.SOPInstanceUID for data in read}) == len(read)
    assert len({data.SeriesInstanceUID for data in read}) == 1


def test_the_parametric_map_holds_the_values_as_they_are(source, tmp_path):
    pytest.importorskip("highdicom")
    _, volume, _, _, exported = source
    data = pydicom.dcmread(write_parametric(exported, volume, tmp_path / "chi.dcm", 9002))
    assert data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.30"
    assert dicom_standard.problems(data) == []
    assert [data.get(name) for name in PATIENT] == [volume.slices[0].get(name) for name in PATIENT]
    stored = np.frombuffer(data.FloatPixelData, "<f4").reshape(data.NumberOfFrames, data.Rows, data.Columns)
    for frame, pixels in zip(data.PerFrameFunctionalGroupsSequence, stored, strict=True):
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        (place,) = [k for k, source_slice in enumerate(volume.slices) if source_slice.ImagePositionPatient == position]
        np.testing.assert_array_equal(pixels, exported.values[:, :, place].T)
    shared = data.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[ppb]"


@pytest.fixture(scope="module")
def multiframe(tmp_path_factory):
    """The phase of the second echo in an enhanced file that holds two echoes, and a map on its grid."""
    folder = tmp_path_factory.mktemp("enhanced")
    scanner = Scanner(extra={"FrameOfReferenceUID": "1.2.3.4"})
    enhanced(folder / "dicom/all.dcm", scanner, 3, [(part, echo) for echo in (0, 1) for part in "MP"])
    volumes = volumes_of(scan(folder / "dicom", folder / "unpacked").instances)
    assert len(volumes) == 4
    volume = find_source(volumes, truth()[1][1], volumes[0].affine, "sub-01_echo-2_part-phase_MEGRE.nii.gz")
    chi = np.random.default_rng(0).normal(0, 100, volume.shape).astype(np.float32)
    return volume, Map(chi, "QSM", "QSM by RTS, relative to csf", "[ppb]", "parts per billion")


def test_maps_of_an_enhanced_source(multiframe, tmp_path):
    pytest.importorskip("highdicom")
    volume, exported = multiframe
    assert volume.frames == tuple(range(24, 32))
    paths = write_classic(exported, volume, tmp_path / "chi", 9001)
    for data, place in zip(map(pydicom.dcmread, paths), range(8), strict=True):
        assert dicom_standard.problems(data) == []
        (reference,) = data.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == volume.slices[0].SOPInstanceUID
        assert reference.ReferencedFrameNumber == 25 + place
        assert data.ImagePositionPatient == [-10, -20, 2 * place]
    back = as_nifti(tmp_path / "chi", tmp_path / "nifti")
    read = on_slices(back.get_fdata(), back.affine, volume)
    np.testing.assert_allclose(read, exported.values, atol=np.abs(exported.values).max() / 32767)
    data = pydicom.dcmread(write_parametric(exported, volume, tmp_path / "chi.dcm", 9002))
    assert dicom_standard.problems(data) == []
    assert [data.get(name) for name in PATIENT] == [volume.slices[0].get(name) for name in PATIENT]
    stored = np.frombuffer(data.FloatPixelData, "<f4").reshape(data.NumberOfFrames, data.Rows, data.Columns)
    for frame, pixels in zip(data.PerFrameFunctionalGroupsSequence, stored, strict=True):
        place = round(frame.PlanePositionSequence[0].ImagePositionPatient[2] / 2)
        np.testing.assert_array_equal(pixels, exported.values[:, :, place].T)
        source_frames = {
            s.get("ReferencedFrameNumber") for d in frame.DerivationImageSequence for s in d.SourceImageSequence
        }
        assert 25 + place in source_frames


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("StudyID", None, "StudyID \\(type 2\\) is missing"),
        ("FrameOfReferenceUID", "", "FrameOfReferenceUID \\(type 1\\) is empty"),
        ("PatientSex", "X", "PatientSex is 'X'"),
        ("StudyDate", "1.2.24", "StudyDate \\(DA\\)"),
        ("HighBit", 11, "contradict"),
        ("Rows", 3, "bytes of pixels"),
        ("StudyDescription", "Kopf\u00e4", "SpecificCharacterSet is missing"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_check_finds_what_is_wrong(source, tmp_path, name, value, says):
    _, volume, _, _, exported = source
    data = pydicom.dcmread(write_classic(exported, volume, tmp_path / "chi", 9001)[0])
    data.SpecificCharacterSet = None
    if value is None:
        delattr(data, name)
    else:
        setattr(data, name, value)
    assert any(re.search(says, problem) for problem in dicom_standard.problems(data))


def test_another_persons_scan_on_the_same_grid_is_no_source(source):
    folder, volume, image, _, _ = source
    other = image.get_fdata() + np.random.default_rng(1).normal(0, 200, image.shape)
    with pytest.raises(InputRefusedError, match=r"sub-02.*no series of --dicom-source has its grid and pixel values"):
        find_source([volume], other, image.affine, "sub-02")
    shifted = image.affine.copy()
    shifted[0, 3] += 1
    with pytest.raises(InputRefusedError, match="no series"):
        find_source([volume], image.get_fdata(), shifted, "sub-02")
    siemens_gre(folder / "two", Scanner(patient_id="P002"), echo_times=(5.0,))
    second = volumes_of(scan(folder / "two", folder / "unpacked2").instances)
    with pytest.raises(InputRefusedError, match="several studies"):
        find_source([volume, *second], image.get_fdata(), image.affine, "sub-01")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_an_image_with_other_axes_is_turned_to_the_slices(source, order):
    _, volume, image, chi, exported = source
    turn = np.eye(4)
    turn[:3, :3] = np.eye(3)[:, list(order)]
    turned = chi.transpose(order)[::-1]
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = turned.shape[0] - 1
    np.testing.assert_array_equal(on_slices(turned, image.affine @ turn @ flip, volume), exported.values)
