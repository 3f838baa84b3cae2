"""Loose NIfTI files, described like DICOM, so that the same rules and heuristics decide what they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from bids_app.convert.scan.frames import Frames, part_of
from bids_app.convert.scan.header import Instance
from bids_app.convert.scan.series_header import SeriesHeader
from bids_app.derivatives.nifti import load
from bids_app.model.json_values import JsonObject, JsonValue

#: What comes after the name of a series in dcm2niix's file names, and in BIDS.
_ENDINGS = re.compile(r"(_(e\d+|ph|real|imaginary|part-[a-z]+|echo-\d+|MEGRE|GRE|T2starw|T1w)[a-z]?)+$")
_NAMED_PART = re.compile(r"_(?:part-)?(ph(?:ase)?|real|imag(?:inary)?|mag(?:nitude)?)[a-z]?(?=_|$)")
_SHORT = {"ph": "phase", "re": "real", "im": "imag", "ma": "mag"}
#: A day that no scan has, for times of an unknown day; BIDS wants shifted dates before 1925.
_NO_DAY = "19000101"


@dataclass(frozen=True)
class Loose:
    """A NIfTI file and everything that is known of it."""

    path: Path
    logical: PurePosixPath  # where the user finds it
    series: str  # files with the same text are one series
    values: JsonObject = field(default_factory=dict)  # its sidecar, and what a table says instead
    part: str = ""  # from a table
    study: str = ""  # files with the same text belong to one examination


def stem_of(name: str) -> str:
    """Return a file name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", name, flags=re.I)


def series_stem(name: str) -> str:
    """Return the part of a file name that all images of one series share."""
    return _ENDINGS.sub("", stem_of(name))


def describe(loose: Loose) -> Instance:
    """Return the record of one 3D image.

    Raises ValueError when the image cannot be read or has not three dimensions.
    """
    try:
        image = load(loose.path)
        shape, affine = image.shape, image.affine
    except Exception as error:  # nibabel raises its own and the operating system's errors
        raise ValueError(f"cannot be read as NIfTI ({type(error).__name__})") from error
    if len(shape) != 3:
        raise ValueError(f"has {len(shape)} dimensions: give one file per echo, or the list of its echo times")
    echo_time = loose.values.get("EchoTime")
    frames = Frames(
        _part(loose), None if echo_time is None else float(echo_time) * 1000, tuple(map(float, range(shape[2]))), 1
    )
    return Instance(loose.path, _series_values(loose, shape, affine), (frames,))


def _part(loose: Loose) -> str:
    """Return the part from the table, the name and ImageType; ``unknown`` where they disagree or say nothing."""
    if loose.part:
        return loose.part
    if loose.values.get("Units") == "Hz" or "_fieldmaphz" in loose.logical.name:
        return "field"
    named = _NAMED_PART.search(stem_of(loose.logical.name))
    by_name = _SHORT[named.group(1)[:2]] if named else ""
    tokens = [str(t) for t in loose.values.get("ImageType", ())]
    if not tokens:
        return by_name or ("mag" if loose.logical.name.partition(".")[0].endswith("_T1w") else "unknown")
    by_type = part_of(
        [t for t in tokens[2:] if t.upper() != "MIXED"], str(loose.values.get("ComplexImageComponent", ""))
    )
    # GE's ImageType does not say the part: there the name that dcm2niix gives is all there is.
    silent = by_type == "mag" and not {"M", "MAGNITUDE", "M_FFE"} & {t.upper() for t in tokens}
    if by_name and by_name != by_type:
        return by_name if silent else "unknown"
    return by_type


def _series_values(loose: Loose, shape: Sequence[int], affine: npt.NDArray[np.float64]) -> SeriesHeader:
    """Return the values that :mod:`bids_app.convert.scan.header` finds in DICOM."""
    get = loose.values.get
    axes = np.asarray(affine)[:3, :3]
    sizes = np.linalg.norm(axes, axis=0)
    directions = axes / np.where(sizes > 0, sizes, 1)
    origin = directions[:, :2].T @ np.asarray(affine)[:3, 3]
    number = get("SeriesNumber")
    return {
        "study_uid": loose.study,
        "series_uid": loose.series,
        "sop_uid": str(loose.logical),
        "is_mr_image": True,
        "modality": str(get("Modality", "MR")),
        "patient_id": str(get("PatientID", "")),
        "patient_name": str(get("PatientName", "")),
        "birth_date": str(get("PatientBirthDate", "")),
        "age": "",
        "sex": str(get("PatientSex", "")),
        "study_date": _date_time(loose.values)[:8].replace(_NO_DAY, ""),
        "study_time": _date_time(loose.values)[8:],
        "study_description": "",
        "accession_number": "",
        "number": int(number) if number else 0,
        "description": str(get("SeriesDescription") or loose.series.rpartition("/")[2]),
        "protocol": str(get("ProtocolName", "")),
        "sequence": str(get("SequenceName", get("PulseSequenceName", ""))),
        "manufacturer": str(get("Manufacturer", "")),
        "image_type": tuple(str(t).upper() for t in get("ImageType", ())),
        "scanning_sequence": str(get("ScanningSequence", "")).upper().replace("_", "\\"),
        "echo_pulse": "",
        "epi": bool(get("EpiFactor") or get("EchoTrainLengthEPI")),
        "dimension": str(get("MRAcquisitionType", "")),
        "tr": _milliseconds(get("RepetitionTime")),
        "flip": get("FlipAngle"),
        "ti": get("InversionTime"),
        "angio": False,
        "b_value": None,
        "field": get("MagneticFieldStrength"),
        "rows": shape[1],
        "columns": shape[0],
        "orientation": tuple(round(float(v), 4) + 0.0 for v in directions[:, :2].T.ravel()),
        "spacing": tuple(round(float(v), 3) for v in sizes),
        "origin": tuple(round(float(v), 1) + 0.0 for v in origin),
        "coil": str(get("ReceiveCoilActiveElements", "")),
        "date_time": _date_time(loose.values),
        "rescale_type": "",
        "enhanced": False,
    }


def _milliseconds(seconds: JsonValue) -> float | None:
    return None if seconds is None else float(seconds) * 1000


def _date_time(values: JsonObject) -> str:
    """Return ``YYYYMMDDHHMMSS.ffffff`` of a sidecar, on a day that never was where only the time is known."""
    joint = str(values.get("AcquisitionDateTime", ""))
    if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", joint):
        return re.sub(r"[-:T]", "", joint)
    match = re.fullmatch(r"(\d{1,2}):(\d\d):(\d\d)(\.\d+)?", str(values.get("AcquisitionTime", "")))
    return f"{_NO_DAY}{int(match[1]):02d}{match[2]}{match[3]}{match[4] or ''}" if match else ""


def split_volumes(loose: Loose, folder: Path) -> list[Loose]:
    """Return one file per echo for an image whose EchoTime is a list (four dimensions), written to ``folder``.

    Raises ValueError when the list does not fit the image.
    """
    import nibabel as nib

    times = loose.values.get("EchoTime")
    if not isinstance(times, list):
        return [loose]
    try:
        image = load(loose.path)
        shape = image.shape
        count = shape[3] if len(shape) == 4 else 1
        if count != len(times):
            raise ValueError(f"has {count} volume(s) and {len(times)} echo times")
        volumes = nib.four_to_three(image) if len(shape) == 4 else [image]
        parts = []
        for number, (volume, time) in enumerate(zip(volumes, times, strict=True), start=1):
            path = folder / f"{len(list(folder.iterdir())):06d}.nii.gz"
            nib.save(volume, path)
            values = {**loose.values, "EchoTime": time, "EchoNumber": number}
            parts.append(Loose(path, loose.logical, loose.series, values, loose.part, loose.study))
    except ValueError:
        raise
    except Exception as error:  # nibabel raises its own and the operating system's errors
        raise ValueError(f"cannot be read as NIfTI ({type(error).__name__})") from error
    return parts
