"""A check of DICOM files against the module tables of the standard (PS3.3) and its value representations (PS3.5).

It knows the two objects that the app writes: MR Image (A.4) and Parametric Map (A.75). Modules are tables of keywords
and types: 1 (there, with a value), 2 (there, perhaps empty). Conditions that hold for maps are written as plain types.
"""

import re
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset

_PATIENT = {"PatientName": 2, "PatientID": 2, "PatientBirthDate": 2, "PatientSex": 2}
_STUDY = {
    "StudyInstanceUID": 1,
    "StudyDate": 2,
    "StudyTime": 2,
    "ReferringPhysicianName": 2,
    "StudyID": 2,
    "AccessionNumber": 2,
}
_FRAME_OF_REFERENCE = {"FrameOfReferenceUID": 1, "PositionReferenceIndicator": 2}
_COMMON = {"SOPClassUID": 1, "SOPInstanceUID": 1}
_PIXELS = dict.fromkeys(("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"), 1)
MODULES = {
    # MR Image Storage
    "1.2.840.10008.5.1.4.1.1.4": {
        "Patient": _PATIENT,
        "General Study": _STUDY,
        "General Series": {"Modality": 1, "SeriesInstanceUID": 1, "SeriesNumber": 2, "PatientPosition": 2},
        "Frame of Reference": _FRAME_OF_REFERENCE,
        "General Equipment": {"Manufacturer": 2},
        "General Image": {"InstanceNumber": 2},
        "Image Plane": {
            "PixelSpacing": 1,
            "ImageOrientationPatient": 1,
            "ImagePositionPatient": 1,
            "SliceThickness": 2,
        },
        "Image Pixel": {**_PIXELS, "BitsStored": 1, "HighBit": 1, "PixelRepresentation": 1, "PixelData": 1},
        "MR Image": {
            "ImageType": 1,
            "ScanningSequence": 1,
            "SequenceVariant": 1,
            "ScanOptions": 2,
            "MRAcquisitionType": 2,
            "RepetitionTime": 2,
            "EchoTime": 2,
            "EchoTrainLength": 2,
        },
        "SOP Common": _COMMON,
    },
    # Parametric Map Storage
    "1.2.840.10008.5.1.4.1.1.30": {
        "Patient": _PATIENT,
        "General Study": _STUDY,
        "Parametric Map Series": {"Modality": 1, "SeriesInstanceUID": 1, "SeriesNumber": 1},
        "Frame of Reference": _FRAME_OF_REFERENCE,
        "Enhanced General Equipment": dict.fromkeys(
            ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"), 1
        ),
        "Parametric Map Image": {
            **_PIXELS,
            "ImageType": 1,
            "InstanceNumber": 1,
            "ContentLabel": 1,
            "ContentDescription": 2,
            "ContentCreatorName": 2,
            "PresentationLUTShape": 1,
            "BurnedInAnnotation": 1,
            "RecognizableVisualFeatures": 1,
            "LossyImageCompression": 1,
        },
        "Floating Point Image Pixel": {"FloatPixelData": 1},
        "Multi-frame Functional Groups": {
            "SharedFunctionalGroupsSequence": 1,
            "PerFrameFunctionalGroupsSequence": 1,
            "NumberOfFrames": 1,
            "ContentDate": 1,
            "ContentTime": 1,
        },
        "Multi-frame Dimension": {"DimensionOrganizationSequence": 1, "DimensionIndexSequence": 1},
        "Acquisition Context": {"AcquisitionContextSequence": 2},
        "SOP Common": _COMMON,
    },
}
#: Functional groups of a parametric map: each is shared, or in every frame.
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "FrameContentSequence",
    "RealWorldValueMappingSequence",
    "ParametricMapFrameTypeSequence",
)
#: Macros inside sequences: what every item has.
_ITEMS = {
    "SourceImageSequence": {"ReferencedSOPClassUID": 1, "ReferencedSOPInstanceUID": 1},
    "PurposeOfReferenceCodeSequence": {"CodeValue": 1, "CodingSchemeDesignator": 1, "CodeMeaning": 1},
    "DerivationCodeSequence": {"CodeValue": 1, "CodingSchemeDesignator": 1, "CodeMeaning": 1},
    "MeasurementUnitsCodeSequence": {"CodeValue": 1, "CodingSchemeDesignator": 1, "CodeMeaning": 1},
    "RealWorldValueMappingSequence": {"LUTLabel": 1, "LUTExplanation": 1, "MeasurementUnitsCodeSequence": 1},
    "PixelMeasuresSequence": {"PixelSpacing": 1, "SliceThickness": 1},
    "PlanePositionSequence": {"ImagePositionPatient": 1},
    "PlaneOrientationSequence": {"ImageOrientationPatient": 1},
    "FrameContentSequence": {"DimensionIndexValues": 1},
    "DimensionIndexSequence": {"DimensionIndexPointer": 1, "DimensionOrganizationUID": 1},
}
_VALUES = {
    "Modality": {"MR", "OT"},
    "PhotometricInterpretation": {"MONOCHROME2"},
    "ScanningSequence": {"SE", "IR", "GR", "EP", "RM"},
    "SequenceVariant": {"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF", "NONE"},
    "MRAcquisitionType": {"2D", "3D", ""},
    "PatientSex": {"M", "F", "O", ""},
    "PresentationLUTShape": {"IDENTITY"},
    "BurnedInAnnotation": {"YES", "NO"},
    "PixelRepresentation": {0, 1},
}
_FORMS = {
    "CS": r"[A-Z0-9 _]{0,16}",
    "SH": r"[^\\\x00-\x1f]{0,16}",
    "LO": r"[^\\\x00-\x1f]{0,64}",
    "DS": r"[-+0-9.eE ]{0,16}",
    "IS": r"[-+0-9 ]{0,12}",
    "UI": r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){1,63}",
    "DA": r"(\d{8})?",
    "TM": r"(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?",
    "AS": r"(\d{3}[DWMY])?",
}


def problems(data: Dataset) -> list[str]:
    """Return what the standard does not allow in a file; an empty list when nothing is wrong."""
    modules = MODULES.get(str(data.SOPClassUID))
    if modules is None:
        return [f"the object {data.SOPClassUID} is not known"]
    return [
        *(p for module, table in modules.items() for p in _lacking(data, table, module)),
        *_groups(data),
        *_pixels(data),
        *_elements(data),
        *_meta(data),
    ]


def _lacking(data: Dataset, table: dict[str, int], where: str) -> Iterator[str]:
    for name, kind in table.items():
        if name not in data:
            yield f"{where}: {name} (type {kind}) is missing"
        elif kind == 1 and data[name].is_empty:
            yield f"{where}: {name} (type 1) is empty"


def _groups(data: Dataset) -> Iterator[str]:
    if "PerFrameFunctionalGroupsSequence" not in data:
        return
    frames = data.PerFrameFunctionalGroupsSequence
    if len(frames) != data.NumberOfFrames:
        yield f"{len(frames)} functional groups for {data.NumberOfFrames} frames"
    for name in _GROUPS:
        shared = name in data.SharedFunctionalGroupsSequence[0]
        count = sum(name in frame for frame in frames)
        if (count or len(frames)) != len(frames) or shared == bool(count):
            yield f"{name} is neither shared nor in every frame"


def _pixels(data: Dataset) -> Iterator[str]:
    size = data.Rows * data.Columns * data.get("NumberOfFrames", 1) * data.BitsAllocated // 8
    held = len(data.get("PixelData") or data.get("FloatPixelData") or b"")
    if held != size + size % 2:
        yield f"{held} bytes of pixels instead of {size}"
    if "BitsStored" in data and not data.HighBit == data.BitsStored - 1 < data.BitsAllocated:
        yield "BitsStored, HighBit and BitsAllocated contradict each other"


def _elements(data: Dataset) -> Iterator[str]:
    """Check every element, also in sequences: representation, length, form and enumerated values."""
    for element in data.iterall():
        name = keyword_for_tag(element.tag)
        if not name:
            yield f"{element.tag} is in no dictionary of the standard"
            continue
        if element.VR not in dictionary_VR(element.tag).split(" or "):
            yield f"{name} is stored as {element.VR}, not as {dictionary_VR(element.tag)}"
        if element.VR == "SQ":
            for item in element.value:
                yield from _lacking(item, _ITEMS.get(name, {}), name)
            continue
        for value in _several(element.value):
            if name in _VALUES and value not in _VALUES[name]:
                yield f"{name} is {value!r}"
            if element.VR in _FORMS and (not re.fullmatch(_FORMS[element.VR], str(value)) or len(str(value)) > 64):
                yield f"{name} ({element.VR}) is {value!r}"


def _several(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if type(value).__name__ in ("MultiValue", "list") else [value]


def _meta(data: Dataset) -> Iterator[str]:
    meta = data.file_meta
    if (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) != (data.SOPClassUID, data.SOPInstanceUID):
        yield "the file's meta information names another object"
    text = "".join(str(e.value) for e in data.iterall() if e.VR in ("PN", "LO", "SH", "LT", "ST"))
    if not text.isascii() and not data.get("SpecificCharacterSet"):
        yield "there are characters beyond ASCII, and SpecificCharacterSet is missing"
