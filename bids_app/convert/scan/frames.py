"""The images in a DICOM file: part of the complex image, echo time and position of each."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bids_app.convert.scan.elements import group_of, number_of, orientation_of, private_number, private_text, text_of

_GE_PARTS = {0: "mag", 1: "phase", 2: "real", 3: "imag"}
_COMPONENTS = {"MAGNITUDE": "mag", "PHASE": "phase", "REAL": "real", "IMAGINARY": "imag"}
_TOKENS = {
    "field": {"B0", "B0 MAP", "FIELD_MAP", "FIELDMAP", "FIELDMAPHZ"},
    "difference": {"VELOCITY", "VELOCITY MAP", "PHASE_DIFFERENCE"},
    "phase": {"P", "PHASE", "PHASE MAP"},
    "real": {"R", "REAL", "R_FFE", "R_SE", "R_IR"},
    "imag": {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"},
    "mag": {"M", "MAGNITUDE", "M_FFE", "M_SE", "M_IR"},
}

#: Sequences of GE that measure the main field (private element 0019,109C).
_GE_FIELD_MAPS = {"b0map", "b0rf", "3db0map"}


@dataclass(frozen=True)
class Frames:
    """The frames of one file that belong to one volume."""

    part: str  # mag, phase, real, imag, field (Hz), difference (of phases, or velocity) or unknown
    echo_time: float | None  # ms
    positions: tuple[float, ...]  # mm along the slice normal
    repetition: int
    is_stated: bool = True  # the header says the part; else a magnitude is supposed


def part_of(tokens: Iterable[str], component: str = "", description: str = "", signed: bool = False) -> str:
    """Return which part of the complex image a header means; ``unknown`` rather than a guess.

    ``component`` is ComplexImageComponent; ``signed`` says that values below zero are stored, which no magnitude has.
    """
    words = {t.upper() for t in tokens}
    for part in ("field", "difference"):
        if words & _TOKENS[part]:
            return part
    if component.upper() in _COMPONENTS:
        return _COMPONENTS[component.upper()]
    parts = [part for part in ("phase", "real", "imag", "mag") if words & _TOKENS[part]]
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 1:
        return "unknown"
    if re.search(r"(^|[\W_])(pha|phase|ph)([\W_]|$)", description, re.IGNORECASE):
        return "phase"
    return "unknown" if signed else "mag"


def frames_of(data: Any) -> tuple[Frames, ...]:
    """Return the frames of a file, volume by volume."""
    if "PerFrameFunctionalGroupsSequence" not in data:
        return (_classic_frame(data),)
    groups: dict[tuple[str, float | None, int], list[tuple[float, bool]]] = {}
    for key, position, is_stated in each_frame(data):
        groups.setdefault(key, []).append((position, is_stated))
    return tuple(
        Frames(part, echo_time, tuple(sorted(z for z, _ in listed)), number, all(is_stated for _, is_stated in listed))
        for (part, echo_time, number), listed in groups.items()
    )


def each_frame(data: Any) -> Iterator[tuple[tuple[str, float | None, int], float, bool]]:
    """Yield part, echo time and repetition of every frame, its position, and whether the header states the part."""
    normal = _normal(orientation_of(data))
    repeats: Counter[tuple[Any, ...]] = Counter()
    for frame in data.PerFrameFunctionalGroupsSequence:
        part, is_stated = _enhanced_part(data, frame)
        echo_time = number_of(group_of(data, frame, "MREchoSequence"), "EffectiveEchoTime")
        position = _along(normal, group_of(data, frame, "PlanePositionSequence").get("ImagePositionPatient"))
        repeats[part, echo_time, position] += 1
        yield (part, echo_time, repeats[part, echo_time, position]), position, is_stated


def _enhanced_part(data: Any, frame: Any) -> tuple[str, bool]:
    """Return the part of a frame, and whether the header says it."""
    kind = group_of(data, frame, "MRImageFrameTypeSequence")
    private = frame.get((0x2005, 0x140F))  # Philips
    tokens = list(kind.get("FrameType") or ()) if kind else []
    if private is not None and private.VR == "SQ" and private.value:
        tokens += list(private.value[0].get("ImageType") or ())[2:]
    component = text_of(kind, "ComplexImageComponent") if kind else ""
    if component.upper() not in _COMPONENTS:
        component = text_of(data, "ComplexImageComponent")
    # The first two values say ORIGINAL\\PRIMARY, the third the contrast.
    part = part_of(tokens[2:], component, text_of(data, "SeriesDescription"), _is_signed(data))
    return part, part != "mag" or _says_magnitude(tokens, component)


def _is_signed(data: Any) -> bool:
    return (number_of(data, "RescaleIntercept") or 0.0) < 0 or int(data.get("PixelRepresentation", 0) or 0) == 1


def _ge_field_map_part(data: Any) -> str | None:
    """Return the part of an image of GE's field map sequences; None for other sequences.

    The series holds the field (Hz) and then the magnitude. No element but the number of the image distinguishes them.
    """
    if private_text(data, 0x19, 0x9C, "GEMS_ACQU_01").lower() not in _GE_FIELD_MAPS:
        return None
    locations, number = private_number(data, 0x21, 0x4F, "GEMS_RELA_01"), number_of(data, "InstanceNumber")
    if not locations or number is None:
        return "unknown"
    return "field" if number <= locations else "mag"


def _classic_frame(data: Any) -> Frames:
    ge_part = private_number(data, 0x43, 0x2F, "GEMS_PARM_01")
    field_map_part = _ge_field_map_part(data)
    if field_map_part is not None:
        part = field_map_part
    elif ge_part is not None and int(ge_part) in _GE_PARTS:
        part = _GE_PARTS[int(ge_part)]
    else:
        # GE stores magnitudes as signed integers; elsewhere a sign means that it is none.
        signed = _is_signed(data) and not text_of(data, "Manufacturer").upper().startswith("GE")
        tokens = text_of(data, "ImageType").split("\\")[2:]
        part = part_of(tokens, text_of(data, "ComplexImageComponent"), text_of(data, "SeriesDescription"), signed)
    position = _along(_normal(orientation_of(data)), data.get("ImagePositionPatient"))
    repetition = number_of(data, "TemporalPositionIdentifier") or number_of(data, "AcquisitionNumber") or 1
    is_stated = (
        ge_part is not None
        or field_map_part is not None
        or part != "mag"
        or _says_magnitude(text_of(data, "ImageType").split("\\"), text_of(data, "ComplexImageComponent"))
    )
    return Frames(part, number_of(data, "EchoTime"), (position,), int(repetition), is_stated)


def _says_magnitude(tokens: Iterable[str], component: str) -> bool:
    return bool({t.upper() for t in tokens} & _TOKENS["mag"]) or component.upper() == "MAGNITUDE"


def _normal(orientation: tuple[float, ...]) -> Any:
    import numpy as np

    return np.cross(orientation[:3], orientation[3:]) if len(orientation) == 6 else np.zeros(3)


def _along(normal: Any, position: Any) -> float:
    if position is None or len(position) != 3:
        return 0.0
    return round(float(sum(n * float(p) for n, p in zip(normal, position, strict=True))), 2) + 0.0
