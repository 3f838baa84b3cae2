"""Values of DICOM elements as plain Python values; what is missing is empty or None, never an error."""

from typing import Any


def text_of(data: Any, name: str) -> str:
    """Return an element as text, several values with backslashes between them."""
    value = data.get(name)
    if value is None:
        return ""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return "\\".join(str(v) for v in value)
    return str(value).strip()


def number_of(data: Any, *names: str) -> float | None:
    """Return the first value of the first of these elements that holds a number."""
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


def first_item(data: Any, name: str) -> Any:
    """Return the first item of a sequence, or an empty mapping."""
    items = data.get(name) if data else None
    return items[0] if items else {}


def group_of(data: Any, frame: Any, name: str) -> Any:
    """Return a functional group of a frame, from the frame or from what all frames share."""
    return first_item(frame, name) or first_item(first_item(data, "SharedFunctionalGroupsSequence"), name)


def private_text(data: Any, group: int, element: int, creator: str | None = None) -> str:
    """Return a private element as text (without a creator: of Siemens' or GE's header)."""
    for name in (creator,) if creator else ("SIEMENS MR HEADER", "GEMS_ACQU_01"):
        try:
            value = data.private_block(group, name)[element].value
        except KeyError:
            continue
        return value.decode("ascii", "ignore").strip("\0 ") if isinstance(value, bytes) else str(value).strip()
    return ""


def private_number(data: Any, group: int, element: int, creator: str) -> float | None:
    """Return the first value of a private element as a number."""
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


def orientation_of(data: Any) -> tuple[float, ...]:
    """Return ImageOrientationPatient, of the first frame in an enhanced file; empty when there is none."""
    place = data
    if "ImageOrientationPatient" not in data:
        place = group_of(data, first_frame(data), "PlaneOrientationSequence")
    value = place.get("ImageOrientationPatient") if place else None
    return tuple(round(float(v), 4) + 0.0 for v in value) if value is not None and len(value) == 6 else ()


def first_frame(data: Any) -> Any:
    """Return the functional groups of the first frame of an enhanced file, or an empty mapping."""
    return first_item(data, "PerFrameFunctionalGroupsSequence")
