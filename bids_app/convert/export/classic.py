"""Write a map as classic MR slices: one DICOM file for each slice, integers with a slope."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from bids_app import __version__
from bids_app.convert.export.source import TYPE_2, Volume

MANUFACTURER, MODEL = "QSM BIDS App", "qsm-bids-app"
#: What identifies patient, study and position: taken from the source as it is.
IDENTITY = [
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "PatientPosition",
    "BodyPartExamined",
    "Laterality",
]
_ACQUISITION = [
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTrainLength",
    "SliceThickness",
    "SpacingBetweenSlices",
    "MagneticFieldStrength",
    "ImagedNucleus",
    "FlipAngle",
]
_LARGEST = 32767


@dataclass(frozen=True)
class Map:
    """What is exported: values in DICOM's unit ``[column, row, slice]``, and what is said of them."""

    values: npt.NDArray[np.float32]
    description: str  # of the series
    derivation: str
    unit: str  # UCUM
    unit_meaning: str


def code(value: str, scheme: str, meaning: str) -> pydicom.Dataset:
    """Return a code sequence item."""
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def slope_of(values: npt.NDArray[np.float32]) -> float:
    """Return the step of 16-bit integers that holds all values."""
    return (float(np.abs(values).max()) or 1.0) / _LARGEST


def write_classic(exported: Map, volume: Volume, folder: Path, number: int) -> list[Path]:
    """Write the slices of a map; values are integers times a slope, as the real-world value mapping says too.

    Parameters
    ----------
    exported
        The map; not a number is written as 0.
    volume
        Source of identity and position.
    folder
        New folder of the series.
    number
        Series number.

    Returns
    -------
    list of Path
        One file for each slice, in order along the normal.
    """
    values = np.nan_to_num(exported.values, posinf=0, neginf=0)
    slope, series = slope_of(values), generate_uid(prefix=None)
    folder.mkdir(parents=True)
    paths = []
    for place, source in enumerate(volume.slices):
        data = _header(exported, source, series, number, place)
        if volume.frames:
            data.SourceImageSequence[0].ReferencedFrameNumber = volume.frames[place] + 1
        stored = np.round(values[:, :, place].T / slope).astype("<i2")
        _describe_pixels(data, stored, slope, exported)
        path = folder / f"{place + 1:04d}.dcm"
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def _header(exported: Map, source: pydicom.Dataset, series: str, number: int, place: int) -> pydicom.Dataset:
    """Return a file's data set with everything but its pixels."""
    data = pydicom.Dataset()
    for name in (*IDENTITY, *_ACQUISITION, "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if name in source:
            setattr(data, name, source[name].value)
    for name in TYPE_2:
        if name not in data:
            setattr(data, name, None)
    data.ScanningSequence = data.get("ScanningSequence") or "RM"
    data.SequenceVariant = data.get("SequenceVariant") or "NONE"
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid(prefix=None)
    data.Modality, data.SeriesInstanceUID, data.SeriesNumber = "MR", series, number
    data.SeriesDescription, data.InstanceNumber = exported.description, place + 1
    data.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    data.Manufacturer, data.ManufacturerModelName, data.SoftwareVersions = MANUFACTURER, MODEL, __version__
    data.DerivationDescription = exported.derivation
    data.DerivationCodeSequence = Items([code("QSM", "99QSMBIDSAPP", "Quantitative susceptibility mapping")])
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = Items(
        [code("121322", "DCM", "Source image for image processing operation")]
    )
    data.SourceImageSequence = Items([reference])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    return data


def _describe_pixels(data: pydicom.Dataset, stored: npt.NDArray[np.int16], slope: float, exported: Map) -> None:
    """Add the pixels, and how they become values."""
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = f"{slope:.10g}", "0", "US"
    mapping = pydicom.Dataset()
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = -_LARGEST, _LARGEST
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = float(data.RescaleSlope), 0.0
    mapping.LUTLabel, mapping.LUTExplanation = exported.description[:16], exported.derivation[:64]
    mapping.MeasurementUnitsCodeSequence = Items([code(exported.unit, "UCUM", exported.unit_meaning)])
    for element in mapping:
        if element.keyword.endswith("ValueMapped"):
            element.VR = "SS"
    data.RealWorldValueMappingSequence = Items([mapping])
    data.PixelData = stored.tobytes()
