"""Read what one DICOM file says of its patient, study and series; :mod:`.frames` reads its images."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.convert.scan.elements import (
    first_frame,
    first_item,
    group_of,
    number_of,
    orientation_of,
    private_number,
    private_text,
    text_of,
)
from bids_app.convert.scan.frames import Frames, frames_of
from bids_app.convert.scan.series_header import SeriesHeader

#: Storage classes that hold MR images: classic, enhanced, legacy converted enhanced, enhanced colour.
_MR_IMAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.4(\.1|\.3|\.4)?$")
_DICOMDIR = "1.2.840.10008.1.3.10"
#: Gyromagnetic ratio of the proton over 2 pi (CODATA 2018).
_PROTON_MHZ_PER_T = 42.577478518


class BrokenDicomError(ValueError):
    """The file is DICOM and cannot be read."""


@dataclass(frozen=True)
class Instance:
    """One DICOM file; values are plain, so that records can be sent between processes."""

    path: Path
    values: SeriesHeader  # what belongs to the study and the series
    frames: tuple[Frames, ...]

    @property
    def series(self) -> tuple[str, str]:
        """Study and series instance UID."""
        return self.values["study_uid"], self.values["series_uid"]


def read_instance(path: Path) -> Instance | None:
    """Read one file; None when it is not DICOM.

    Raises BrokenDicomError for a file that says it is DICOM, by its preamble or its extension, and cannot be read to
    its end.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    named = path.suffix.lower() in (".dcm", ".ima", ".dicom")
    try:
        with pydicom.config.disable_value_validation():
            data = pydicom.dcmread(path, force=named, defer_size=1024)
            if "SOPClassUID" not in data:
                if data.file_meta.get("MediaStorageSOPClassUID") == _DICOMDIR or not (named or _has_preamble(path)):
                    return None
                raise BrokenDicomError("has no SOPClassUID: empty, cut short or not DICOM")
            _refuse_truncated(path, data)
            return Instance(path, _values(data), frames_of(data))
    except InvalidDicomError:
        return None
    except BrokenDicomError:
        raise
    except Exception as error:  # pydicom raises nearly anything on a damaged file
        if not named and not _has_preamble(path):
            return None
        raise BrokenDicomError(f"cannot be read ({type(error).__name__})") from error


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _refuse_truncated(path: Path, data: Any) -> None:
    """Compare where the pixel data should end with the size of the file, without reading the pixels."""
    pixels = data.get_item(0x7FE00010)
    if pixels is None:
        if _MR_IMAGE.match(text_of(data, "SOPClassUID")):
            raise BrokenDicomError("is cut short: there is no image in it")
        return
    start, length = getattr(pixels, "value_tell", None), getattr(pixels, "length", None)
    size = path.stat().st_size
    if start is not None and length not in (None, 0xFFFFFFFF) and start + length > size:
        raise BrokenDicomError(f"is cut short: {start + length - size} bytes of the image are missing")
    expected = int(data.get("Rows", 0)) * int(data.get("Columns", 0)) * int(data.get("BitsAllocated", 16)) // 8
    expected *= int(data.get("NumberOfFrames", 1) or 1)
    if not data.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2").is_compressed and expected > size:
        raise BrokenDicomError("is cut short: the image is larger than the file")


def _values(data: Any) -> SeriesHeader:
    """Return the series' values; functional groups of enhanced files are looked into where they hold them."""
    shared = first_item(data, "SharedFunctionalGroupsSequence")
    timing = first_item(shared, "MRTimingAndRelatedParametersSequence")
    modifier = first_item(shared, "MRModifierSequence")
    sop_class = text_of(data, "SOPClassUID")
    sequence = text_of(data, "SequenceName") or text_of(data, "PulseSequenceName") or private_text(data, 0x19, 0x9C)
    sequence = sequence or private_text(data, 0x2001, 0x20, "Philips Imaging DD 001")  # the scanning technique: FFE
    return {
        "study_uid": text_of(data, "StudyInstanceUID") or "none",
        "series_uid": text_of(data, "SeriesInstanceUID") or _series_without_uid(data),
        "frame_of_reference": text_of(data, "FrameOfReferenceUID"),
        "sop_uid": text_of(data, "SOPInstanceUID"),
        "is_mr_image": bool(_MR_IMAGE.match(sop_class)) and int(data.get("Rows", 0) or 0) > 0,
        "modality": text_of(data, "Modality") or "MR",  # the storage class says it too
        "patient_id": text_of(data, "PatientID"),
        "patient_name": text_of(data, "PatientName"),
        "birth_date": text_of(data, "PatientBirthDate"),
        "age": text_of(data, "PatientAge"),
        "sex": text_of(data, "PatientSex"),
        "study_date": text_of(data, "StudyDate"),
        "study_time": text_of(data, "StudyTime"),
        "study_description": text_of(data, "StudyDescription"),
        "accession_number": text_of(data, "AccessionNumber"),
        "number": int(number_of(data, "SeriesNumber") or 0),
        "description": text_of(data, "SeriesDescription"),
        "protocol": text_of(data, "ProtocolName"),
        "sequence": sequence,
        "manufacturer": text_of(data, "Manufacturer"),
        "image_type": tuple(t.strip().upper() for t in text_of(data, "ImageType").split("\\") if t.strip()),
        "scanning_sequence": text_of(data, "ScanningSequence").upper(),
        "echo_pulse": text_of(data, "EchoPulseSequence").upper(),
        "epi": bool(number_of(data, "EPIFactor") or 0) or text_of(data, "EchoPlanarPulseSequence").upper() == "YES",
        "dimension": text_of(data, "MRAcquisitionType").upper(),
        "tr": number_of(data, "RepetitionTime") or number_of(timing, "RepetitionTime"),
        "flip": number_of(data, "FlipAngle") or number_of(timing, "FlipAngle"),
        "ti": number_of(data, "InversionTime") or number_of(modifier, "InversionTimes"),
        "angio": text_of(data, "AngioFlag").upper() == "Y",
        "b_value": number_of(data, "DiffusionBValue"),
        "field": _field_strength(data),
        "rows": int(data.get("Rows", 0) or 0),
        "columns": int(data.get("Columns", 0) or 0),
        "orientation": orientation_of(data),
        "spacing": _spacing(data),
        "origin": _origin(data),
        "coil": _coil(data),
        "date_time": _acquisition_time(data),
        "rescale_type": text_of(data, "RescaleType"),
        "echo_spacing": _ge_echo_spacing(data),
        "enhanced": "PerFrameFunctionalGroupsSequence" in data,
    }


def _ge_echo_spacing(data: Any) -> float | None:
    """Return the time (ms) between the echoes of GE's field maps: 1000 / (2 pi VelocityEncodeScale)."""
    scale = private_number(data, 0x19, 0xE2, "GEMS_ACQU_01")
    return 1000.0 / (2 * math.pi * abs(scale)) if scale else None


def _series_without_uid(data: Any) -> str:
    """Return what distinguishes series of one examination where the header has no UID."""
    return "-".join(["none", *(text_of(data, name) for name in ("SeriesNumber", "SeriesDescription"))]).rstrip("-")


def _field_strength(data: Any) -> float | None:
    """Return tesla, from the frequency of the protons where the header does not state the field."""
    frequency = number_of(data, "ImagingFrequency", "TransmitterFrequency")
    return number_of(data, "MagneticFieldStrength") or (round(frequency / _PROTON_MHZ_PER_T, 4) if frequency else None)


def _acquisition_time(data: Any) -> str:
    """Return ``YYYYMMDDHHMMSS.ffffff`` as far as it is known, or an empty text."""
    joint = text_of(data, "AcquisitionDateTime")
    if joint:
        return re.sub(r"[+-]\d{4}$", "", joint)
    time = text_of(data, "AcquisitionTime") or text_of(data, "SeriesTime")
    date = text_of(data, "AcquisitionDate") or text_of(data, "SeriesDate") or text_of(data, "StudyDate")
    return f"{date}{time}" if date and time else ""


def _spacing(data: Any) -> tuple[float, ...]:
    place = data if "PixelSpacing" in data else group_of(data, first_frame(data), "PixelMeasuresSequence")
    value = place.get("PixelSpacing") if place else None
    thickness = number_of(place, "SliceThickness") if place else None
    return tuple(round(float(v), 3) for v in [*(value or ()), thickness or 0.0])


def _origin(data: Any) -> tuple[float, ...]:
    """In-plane part of the first position: slices of one volume share it, shifted volumes do not."""
    import numpy as np

    place = data
    if "ImagePositionPatient" not in data:
        place = group_of(data, first_frame(data), "PlanePositionSequence")
    value = place.get("ImagePositionPatient") if place else None
    orientation = orientation_of(data)
    if value is None or len(orientation) != 6:
        return ()
    axes = np.array(orientation).reshape(2, 3)
    return tuple(float(np.round(v, 1)) + 0.0 for v in axes @ np.array([float(v) for v in value]))


def _coil(data: Any) -> str:
    """Return the receiving coil element as Siemens names it, its number, or the standard receive coil name."""
    return (
        private_text(data, 0x51, 0x0F)
        or private_text(data, 0x21, 0x4F, "SIEMENS MR SDI 02")
        or _channel(data)
        or text_of(data, "ReceiveCoilName")
    )


def _channel(data: Any) -> str:
    """Return the number of the receiving channel that ICE_Dims of Siemens starts with (X: combined), as ``C3``."""
    first = private_text(data, 0x21, 0x06, "SIEMENS MR SDI 02").partition("_")[0]
    return f"C{int(first)}" if first.isdecimal() else ""
