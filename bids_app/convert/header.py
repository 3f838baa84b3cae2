"""What one DICOM file says: part of the complex image, echo time, position, and nothing that names the patient."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Storage classes that hold MR images: classic, enhanced, legacy converted enhanced, enhanced colour.
_MR_IMAGE = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.4(\.1|\.3|\.4)?$")
_GE_PARTS = {0: "mag", 1: "phase", 2: "real", 3: "imag"}
_COMPONENTS = {"MAGNITUDE": "mag", "PHASE": "phase", "REAL": "real", "IMAGINARY": "imag"}
_TOKENS = {
    "field": {
        "B0",
        "B0 MAP",
        "FIELD_MAP",
        "FIELDMAP",
        "FIELDMAPHZ",
        "VELOCITY",
        "VELOCITY MAP",
        "PHASE_DIFFERENCE",
    },
    "phase": {"P", "PHASE", "PHASE MAP"},
    "real": {"R", "REAL", "R_FFE", "R_SE", "R_IR"},
    "imag": {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"},
    "mag": {"M", "MAGNITUDE", "M_FFE", "M_SE", "M_IR"},
}


class BrokenDicomError(ValueError):
    """The file is DICOM and cannot be read."""


@dataclass(frozen=True)
class Frames:
    """The frames of one file that belong to one volume."""

    part: str  # mag, phase, real, imag, field or unknown
    echo_time: float | None  # ms
    positions: tuple[float, ...]  # mm along the slice normal
    repetition: int


@dataclass(frozen=True)
class Instance:
    """One DICOM file; values are plain, so that records can be sent between processes."""

    path: Path
    values: dict[str, Any]  # what belongs to the study and the series
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
                if named:
                    raise BrokenDicomError("has no SOPClassUID: empty, cut short or not DICOM")
                return None  # DICOMDIR and other files that hold no object
            _refuse_truncated(path, data)
            return Instance(path, _values(data), _frames(data))
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
        return
    start, length = getattr(pixels, "value_tell", None), getattr(pixels, "length", None)
    size = path.stat().st_size
    if start is not None and length not in (None, 0xFFFFFFFF) and start + length > size:
        raise BrokenDicomError(f"is cut short: {start + length - size} bytes of the image are missing")
    expected = int(data.get("Rows", 0)) * int(data.get("Columns", 0)) * int(data.get("BitsAllocated", 16)) // 8
    expected *= int(data.get("NumberOfFrames", 1) or 1)
    if not data.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2").is_compressed and expected > size:
        raise BrokenDicomError("is cut short: the image is larger than the file")


def _text(data: Any, name: str) -> str:
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(v) for v in value)
    return str(value).strip()


def _number(data: Any, *names: str) -> float | None:
    for name in names:
        value = data.get(name)
        if type(value).__name__ == "MultiValue":
            value = value[0] if len(value) else None
        try:
            if value is not None and value != "":
                return float(value)
        except (TypeError, ValueError):
            continue
    return None


def _values(data: Any) -> dict[str, Any]:
    """Return the series' values; functional groups of enhanced files are looked into where they hold them."""
    shared = _sequence_item(data, "SharedFunctionalGroupsSequence")
    timing = _sequence_item(shared, "MRTimingAndRelatedParametersSequence")
    modifier = _sequence_item(shared, "MRModifierSequence")
    sop_class = _text(data, "SOPClassUID")
    sequence = _text(data, "SequenceName") or _text(data, "PulseSequenceName") or _private_text(data, 0x19, 0x9C)
    return {
        "study_uid": _text(data, "StudyInstanceUID") or "none",
        "series_uid": _text(data, "SeriesInstanceUID") or f"none-{_text(data, 'SeriesNumber')}",
        "sop_uid": _text(data, "SOPInstanceUID"),
        "is_mr_image": bool(_MR_IMAGE.match(sop_class)) and int(data.get("Rows", 0) or 0) > 0,
        "modality": _text(data, "Modality") or "unknown modality",
        "patient_id": _text(data, "PatientID"),
        "patient_name": _text(data, "PatientName"),
        "age": _text(data, "PatientAge"),
        "sex": _text(data, "PatientSex"),
        "study_date": _text(data, "StudyDate"),
        "study_time": _text(data, "StudyTime"),
        "study_description": _text(data, "StudyDescription"),
        "accession_number": _text(data, "AccessionNumber"),
        "number": int(_number(data, "SeriesNumber") or 0),
        "description": _text(data, "SeriesDescription"),
        "protocol": _text(data, "ProtocolName"),
        "sequence": sequence,
        "manufacturer": _text(data, "Manufacturer"),
        "image_type": tuple(t.strip().upper() for t in _text(data, "ImageType").split("\\") if t.strip()),
        "scanning_sequence": _text(data, "ScanningSequence").upper(),
        "echo_pulse": _text(data, "EchoPulseSequence").upper(),
        "epi": bool(_number(data, "EPIFactor") or 0) or _text(data, "EchoPlanarPulseSequence").upper() == "YES",
        "dimension": _text(data, "MRAcquisitionType").upper(),
        "tr": _number(data, "RepetitionTime") or _number(timing, "RepetitionTime"),
        "flip": _number(data, "FlipAngle") or _number(timing, "FlipAngle"),
        "ti": _number(data, "InversionTime") or _number(modifier, "InversionTimes"),
        "angio": _text(data, "AngioFlag").upper() == "Y",
        "b_value": _number(data, "DiffusionBValue"),
        "field": _number(data, "MagneticFieldStrength"),
        "rows": int(data.get("Rows", 0) or 0),
        "columns": int(data.get("Columns", 0) or 0),
        "orientation": _orientation(data),
        "spacing": _spacing(data),
        "origin": _origin(data),
        "coil": _coil(data),
        "expected_slices": int(_number_private(data, 0x21, 0x4F, "GEMS_RELA_01") or 0),
        "date_time": _acquisition_time(data),
        "rescale_type": _text(data, "RescaleType"),
        "enhanced": "PerFrameFunctionalGroupsSequence" in data,
    }


def _acquisition_time(data: Any) -> str:
    """Return ``YYYYMMDDHHMMSS.ffffff`` as far as it is known, or an empty text."""
    joint = _text(data, "AcquisitionDateTime")
    if joint:
        return re.sub(r"[+-]\d{4}$", "", joint)
    time = _text(data, "AcquisitionTime") or _text(data, "SeriesTime")
    date = _text(data, "AcquisitionDate") or _text(data, "SeriesDate") or _text(data, "StudyDate")
    return f"{date}{time}" if date and time else ""


def _sequence_item(data: Any, name: str) -> Any:
    """Return the first item of a sequence, or an empty mapping."""
    items = data.get(name) if data else None
    return items[0] if items else {}


def _group(data: Any, frame: Any, name: str) -> Any:
    """Return a functional group of a frame, from the frame or from what all frames share."""
    return _sequence_item(frame, name) or _sequence_item(_sequence_item(data, "SharedFunctionalGroupsSequence"), name)


def _first_frame(data: Any) -> Any:
    return _sequence_item(data, "PerFrameFunctionalGroupsSequence")


def _orientation(data: Any) -> tuple[float, ...]:
    place = data
    if "ImageOrientationPatient" not in data:
        place = _group(data, _first_frame(data), "PlaneOrientationSequence")
    value = place.get("ImageOrientationPatient") if place else None
    return tuple(round(float(v), 4) + 0.0 for v in value) if value is not None and len(value) == 6 else ()


def _spacing(data: Any) -> tuple[float, ...]:
    place = data if "PixelSpacing" in data else _group(data, _first_frame(data), "PixelMeasuresSequence")
    value = place.get("PixelSpacing") if place else None
    thickness = _number(place, "SliceThickness") if place else None
    return tuple(round(float(v), 3) for v in [*(value or ()), thickness or 0.0])


def _origin(data: Any) -> tuple[float, ...]:
    """In-plane part of the first position: slices of one volume share it, shifted volumes do not."""
    import numpy as np

    place = data
    if "ImagePositionPatient" not in data:
        place = _group(data, _first_frame(data), "PlanePositionSequence")
    value = place.get("ImagePositionPatient") if place else None
    orientation = _orientation(data)
    if value is None or len(orientation) != 6:
        return ()
    axes = np.array(orientation).reshape(2, 3)
    return tuple(float(np.round(v, 1)) + 0.0 for v in axes @ np.array([float(v) for v in value]))


def _coil(data: Any) -> str:
    """Return the receiving coil element as Siemens names it, or the standard receive coil name."""
    return (
        _private_text(data, 0x51, 0x0F)
        or _private_text(data, 0x21, 0x4F, "SIEMENS MR SDI 02")
        or _text(data, "ReceiveCoilName")
    )


def _private_text(data: Any, group: int, element: int, creator: str | None = None) -> str:
    for name in (creator,) if creator else ("SIEMENS MR HEADER", "GEMS_ACQU_01"):
        try:
            value = data.private_block(group, name)[element].value
        except KeyError:
            continue
        return value.decode("ascii", "ignore").strip("\0 ") if isinstance(value, bytes) else str(value).strip()
    return ""


def _number_private(data: Any, group: int, element: int, creator: str) -> float | None:
    try:
        value = data.private_block(group, creator)[element].value
    except KeyError:
        return None
    if isinstance(value, bytes):  # implicit VR without a dictionary entry: a little-endian integer
        return float(int.from_bytes(value[:2], "little")) if value else None
    if type(value).__name__ == "MultiValue":
        value = value[0]
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def part_of(tokens: Iterable[str], component: str = "", description: str = "", signed: bool = False) -> str:
    """Tell which part of the complex image a header means; ``unknown`` rather than a guess.

    ``component`` is ComplexImageComponent; ``signed`` says that values below zero are stored, which no magnitude has.
    """
    words = {t.upper() for t in tokens}
    if words & _TOKENS["field"]:
        return "field"
    if component.upper() in _COMPONENTS:
        return _COMPONENTS[component.upper()]
    found = [part for part in ("phase", "real", "imag", "mag") if words & _TOKENS[part]]
    if len(found) == 1:
        return found[0]
    if len(found) > 1:
        return "unknown"
    if re.search(r"(^|[\W_])(pha|phase|ph)([\W_]|$)", description, re.IGNORECASE):
        return "phase"
    return "unknown" if signed else "mag"


def _frames(data: Any) -> tuple[Frames, ...]:
    if "PerFrameFunctionalGroupsSequence" not in data:
        return (_classic_frame(data),)
    normal = _normal(_orientation(data))
    repeats: Counter[tuple[Any, ...]] = Counter()
    groups: dict[tuple[str, float | None, int], list[float]] = {}
    for frame in data.PerFrameFunctionalGroupsSequence:
        part = _enhanced_part(data, frame)
        echo_time = _number(_group(data, frame, "MREchoSequence"), "EffectiveEchoTime")
        place = _group(data, frame, "PlanePositionSequence").get("ImagePositionPatient")
        position = _along(normal, place)
        repeats[part, echo_time, position] += 1
        key = (part, echo_time, repeats[part, echo_time, position])
        groups.setdefault(key, []).append(position)
    return tuple(Frames(p, te, tuple(sorted(z)), n) for (p, te, n), z in groups.items())


def _enhanced_part(data: Any, frame: Any) -> str:
    kind = _group(data, frame, "MRImageFrameTypeSequence")
    private = frame.get((0x2005, 0x140F))
    tokens = list(kind.get("FrameType") or ()) if kind else []
    if private is not None and private.VR == "SQ" and private.value:
        tokens += list(private.value[0].get("ImageType") or ())[2:]
    component = _text(kind, "ComplexImageComponent") if kind else ""
    if component.upper() not in _COMPONENTS:
        component = _text(data, "ComplexImageComponent")
    # The first two values say ORIGINAL\PRIMARY, the third the contrast.
    return part_of(tokens[2:], component, _text(data, "SeriesDescription"), _is_signed(data))


def _is_signed(data: Any) -> bool:
    return (_number(data, "RescaleIntercept") or 0.0) < 0 or int(data.get("PixelRepresentation", 0) or 0) == 1


def _classic_frame(data: Any) -> Frames:
    ge_part = _number_private(data, 0x43, 0x2F, "GEMS_PARM_01")
    if ge_part is not None and int(ge_part) in _GE_PARTS:
        part = _GE_PARTS[int(ge_part)]
    else:
        # GE stores magnitudes as signed integers; elsewhere a sign means that it is none.
        signed = _is_signed(data) and not _text(data, "Manufacturer").upper().startswith("GE")
        tokens = _text(data, "ImageType").split("\\")[2:]
        part = part_of(tokens, _text(data, "ComplexImageComponent"), _text(data, "SeriesDescription"), signed)
    position = _along(_normal(_orientation(data)), data.get("ImagePositionPatient"))
    repetition = _number(data, "TemporalPositionIdentifier") or _number(data, "AcquisitionNumber") or 1
    return Frames(part, _number(data, "EchoTime"), (position,), int(repetition))


def _normal(orientation: tuple[float, ...]) -> Any:
    import numpy as np

    return np.cross(orientation[:3], orientation[3:]) if len(orientation) == 6 else np.zeros(3)


def _along(normal: Any, position: Any) -> float:
    if position is None or len(position) != 3:
        return 0.0
    return round(float(sum(n * float(p) for n, p in zip(normal, position, strict=True))), 2) + 0.0
