"""Write a BIDS gradient echo as DICOM files, as a scanner would export them: for the tutorial, which has no scanner."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def write_dicom(dataset: Path, subject: str, target: Path) -> int:
    """Write the magnitude and phase of a subject's echoes as two Siemens-like series; return the number of files."""
    study, count = generate_uid(), 0
    for number, part in enumerate(("mag", "phase"), start=3):
        series, instance = generate_uid(), 0
        for path in sorted((dataset / f"sub-{subject}" / "anat").glob(f"*_part-{part}_MEGRE.nii.gz")):
            image = nib.load(path)
            seconds = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())["EchoTime"]
            echo = int(path.name.split("_echo-")[1].split("_")[0])
            for pixels, position in _slices(image, part):
                instance += 1
                data = _header(image, subject, number, part, seconds, echo)
                data.StudyInstanceUID, data.SeriesInstanceUID, data.InstanceNumber = study, series, instance
                data.Rows, data.Columns = pixels.shape
                data.ImagePositionPatient, data.PixelData = [round(float(p), 4) for p in position], pixels.tobytes()
                _save(data, target / f"series-{number}" / f"{instance:04d}.dcm")
                count += 1
    return count


def _slices(image: nib.Nifti1Image, part: str):
    """Give the stored pixels (row, column) and the position of the first voxel (LPS, mm) of every slice."""
    values = np.asarray(image.dataobj, np.float64)
    if part == "phase":
        stored = np.clip(np.round(values / np.abs(values).max() * 2048 + 2048), 0, 4095)
    else:
        stored = np.round(values)
    for z in range(values.shape[2]):
        position = (image.affine @ [0, 0, z, 1])[:3] * [-1, -1, 1]
        yield np.ascontiguousarray(stored[:, :, z].T.astype("<u2")), position


def _header(image, subject: str, number: int, part: str, seconds: float, echo: int) -> FileDataset:
    data = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    directions, sizes = image.affine[:3, :3] * np.array([[-1], [-1], [1]]), image.header.get_zooms()
    axes = directions / np.linalg.norm(directions, axis=0)
    data.Modality, data.Manufacturer, data.MagneticFieldStrength = "MR", "SIEMENS", 3.0
    data.PatientName, data.PatientID = "Doe^Jane", f"volunteer{subject}"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = "20260105"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = "101500"
    data.SeriesNumber, data.SeriesDescription, data.ProtocolName = number, "gre_qsm", "gre_qsm"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M" if part == "mag" else "P", "ND"]
    data.MRAcquisitionType, data.ScanningSequence, data.SequenceVariant = "3D", "GR", "SP"
    data.SequenceName, data.PatientPosition = "*fl3d4r", "HFS"
    data.EchoTime, data.EchoNumbers, data.RepetitionTime, data.FlipAngle = 1000 * seconds, echo, 40.0, 15.0
    data.ImageOrientationPatient = [round(float(v), 6) for v in (*axes[:, 0], *axes[:, 1])]
    data.PixelSpacing, data.SliceThickness = [float(sizes[1]), float(sizes[0])], float(sizes[2])
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    if part == "phase":  # what a Siemens scanner writes: -4096 to 4094 for -pi to pi
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType = -4096, 2, "US"
    return data


def _save(data: FileDataset, path: Path) -> None:
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = _MR_IMAGE
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
