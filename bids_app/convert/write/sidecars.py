"""Sidecars after conversion: the fields that QSM needs, and nothing that names the patient."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_app.convert.classify.series import SeriesFacts, Volume
from bids_app.convert.name.privacy import CODED_FIELDS, Redactor, holds_name, is_private
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.nifti import StoredImage, load, new
from bids_app.model.json_values import JsonObject

#: ``ucReadOutMode`` of the protocol that Siemens scanners store in every image.
_SIEMENS_READOUT = {1: "monopolar", 2: "bipolar"}
#: What only heudiconv or only dcm2niix writes: the sidecar is the same whatever made it.
_OF_ONE_WAY = ("HeudiconvVersion", "BidsGuess")
#: Share of neighbours that differ by more than half the range. The edge of a bright object in air stays below (3 % at a
#: matrix of 64), noise is at 25 %, wraps are at several.
_MANY_JUMPS, _FEW_JUMPS = 0.05, 0.005
#: Share of dark voxels that there is at least where the object has an edge.
_AIR = 0.2
#: Integers that stay below are no milliradians of a measured phase.
_SMALLEST_MRAD = 100
_READOUT = re.compile(rb"ucReadOutMode\s*=\s*(0x)?(\d+)")


def readout_polarity(files: Sequence[Path]) -> str | None:
    """Return ``monopolar`` or ``bipolar`` where the DICOM file states it (the protocol of Siemens scanners)."""
    if not files:
        return None
    # The protocol is plain text inside a private element, which has its place in the first megabytes.
    with files[0].open("rb") as file:
        match = _READOUT.search(file.read(8_000_000))
    return _SIEMENS_READOUT.get(int(match.group(2), 16 if match.group(1) else 10)) if match else None


def finish_sidecar(
    values: JsonObject, volume: Volume, facts: SeriesFacts, units: str | None, polarity: str | None, redact: Redactor
) -> JsonObject:
    """Return the sidecar of one image: private fields out, echo time, field strength and units in."""
    kept = {
        key: value if key in CODED_FIELDS else redact.value(value)
        for key, value in values.items()
        if not is_private(key) and key not in _OF_ONE_WAY
    }
    if volume.part == "field" and not kept.get("EchoTime"):
        kept.pop("EchoTime", None)  # Philips writes 0
    elif volume.echo_time is not None and not _agrees(kept.get("EchoTime"), volume.echo_time / 1000):
        kept["EchoTime"] = round(volume.echo_time / 1000, 8)
    supplied = {"MagneticFieldStrength": facts.field, "ImageType": sorted(facts.tokens), "Manufacturer": facts.vendor}
    kept |= {key: value for key, value in supplied.items() if value and not kept.get(key)}
    if units is not None:
        kept["Units"] = units
    elif kept.get("Units") not in (None, "rad", "arbitrary", "Hz"):
        kept.pop("Units")
    if polarity is not None:
        kept["ReadoutPolarity"] = polarity
    return dict(sorted(kept.items()))


def echo_times_of_field(first: float | None, spacing: float | None) -> JsonObject:
    """Return the echo times (s) of a field map that the scanner computed from two echoes, as far as they are known.

    Parameters
    ----------
    first, spacing
        First echo time, and from there to the second one, in ms.
    """
    if first is None or not spacing:
        return {}
    return {"EchoTime1": round(first / 1000, 8), "EchoTime2": round((first + spacing) / 1000, 8)}


def _agrees(value: object, expected: float) -> bool:
    return isinstance(value, (int, float)) and abs(float(value) - expected) < 6e-6


def phase_units(image: StoredImage, declared: object = None) -> str:
    """Return ``rad`` when the values of a phase image lie within (-pi, pi] or [0, 2 pi) and are no integers.

    Values beyond that are radians too where the sidecar says so and they are no integers: unwrapped phase. Everything
    else (Siemens -4096 to 4094, raw 0 to 4095, GE milliradians) is ``arbitrary``; the step that makes the
    field scales it, and undoes GE's sign and slice alternation.
    """
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    finite = data[np.isfinite(data)]
    if finite.size == 0 or not finite.any():
        return "arbitrary"
    low, high = float(finite.min()), float(finite.max())
    within = (low >= -np.pi * 1.001 and high <= np.pi * 1.001) or (low >= 0 and high <= 2 * np.pi * 1.001)
    return "rad" if (within or declared == "rad") and bool(np.any(finite != np.round(finite))) else "arbitrary"


def looks_like_phase(path: Path) -> bool:
    """Return whether an image cannot be a magnitude: values below zero, or jumps over half the range, as wraps are."""
    image = load(path)
    data = np.nan_to_num(np.asanyarray(image.dataobj, dtype=np.float32))
    low, high = np.percentile(data, (0.1, 99.9))
    if low < 0 or high <= low:
        return bool(low < 0)
    jumps = [np.abs(np.diff(data, axis=axis)) > 0.5 * (high - low) for axis in range(2)]
    share = max(float(j.mean()) for j in jumps)
    # Where a magnitude jumps, at the edge of the object, there is air next to it, and air is dark.
    dark = float(np.mean(data < low + 0.1 * (high - low)))
    return share > _MANY_JUMPS or (share > _FEW_JUMPS and dark < _AIR)


def scale_to_radians(paths: Sequence[Path], vendor: str, rescale_type: str) -> bool:
    """Rewrite the phase images of a series in radians where they are in milliradians; return whether they were.

    Milliradians are what RescaleType calls ``mrad``, and GE's integers that stay within -3142 and 3142.
    """
    named = "mrad" in rescale_type.lower()
    if not paths or not (named or vendor == "GE"):
        return False
    images = [load(path) for path in paths]
    stored = [np.asanyarray(image.dataobj, dtype=np.float32) for image in images]
    largest = max(float(np.abs(data).max(initial=0.0)) for data in stored)
    integers = all(np.array_equal(data, np.round(data)) for data in stored)
    if largest > 1000 * np.pi + 1 or not (named or (integers and largest > _SMALLEST_MRAD)):
        return False
    for path, image, data in zip(paths, images, stored, strict=True):
        header = image.header.copy()
        header.set_data_dtype(np.float32)
        header.set_slope_inter(1.0, 0.0)
        radians = np.clip(data / 1000, -np.pi, np.pi).astype(np.float32)
        write_bytes(path, _to_gz(new(radians, image.affine, header)))
    return True


def clean_header(path: Path, words: Sequence[str]) -> bool:
    """Empty the text fields of a NIfTI header that hold a patient's name; return whether there was one."""
    image = load(path)
    texts = {name: bytes(image.header[name].tobytes()).decode("ascii", "ignore") for name in _TEXT_FIELDS}
    named = [name for name, text in texts.items() if holds_name(text, words)]
    if not named and not len(image.header.extensions):
        return False
    header = image.header.copy()
    header.extensions.clear()
    for name in named:
        header[name] = b""
    copy = new(np.asanyarray(image.dataobj.get_unscaled()), image.affine, header)
    slope, inter = image.dataobj.slope, image.dataobj.inter
    copy.header.set_slope_inter(slope, inter)
    write_bytes(path, _to_gz(copy))
    return True


_TEXT_FIELDS = ("descrip", "aux_file", "db_name", "intent_name")


def _to_gz(image: StoredImage) -> bytes:
    import gzip

    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def write_complex_parts(real: Path, imag: Path, magnitude: Path, phase: Path) -> None:
    """Write magnitude and phase (float32; phase in radians) of a real and an imaginary image, with sidecars.

    The sidecars are the real image's; the phase says that its unit is rad.
    """
    first, second = load(real), load(imag)
    if first.shape != second.shape or not np.allclose(first.affine, second.affine, atol=1e-3):
        raise ValueError("real and imaginary images differ in size or position")
    a = np.asanyarray(first.dataobj, dtype=np.float32)
    b = np.asanyarray(second.dataobj, dtype=np.float32)
    header = first.header.copy()
    header.set_data_dtype(np.float32)
    header.set_slope_inter(1.0, 0.0)
    values = json.loads(_json_of(real).read_text(encoding="utf-8"))
    values.pop("Units", None)
    words = [t for t in values.get("ImageType", []) if str(t).upper() not in ("R", "REAL", "R_FFE")]
    for path, data, kind in ((magnitude, np.hypot(a, b), "M"), (phase, np.arctan2(b, a), "P")):
        write_bytes(path, _to_gz(new(data.astype(np.float32), first.affine, header)))
        metadata = {**values, "ImageType": [*words, kind], "ComputedFrom": "real and imaginary images"}
        write_json(_json_of(path), {**metadata, "Units": "rad"} if kind == "P" else metadata)


def _json_of(image: Path) -> Path:
    return image.with_name(image.name.removesuffix(".nii.gz") + ".json")
