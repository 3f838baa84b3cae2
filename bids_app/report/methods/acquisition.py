"""How the data were acquired, item by item of the consensus's list for publications (Bilgic et al. 2024).

Each item is read from the sidecars or the image itself; one that is in neither is named as not stated.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_grid
from bids_app.model.json_values import JsonObject
from bids_app.report.participant.collect import Run

#: Planes by the axis of the scanner that the third voxel axis lies nearest to.
_PLANES = ("sagittal", "coronal", "axial")
#: A slab that is turned by less than this is straight, degrees.
_STRAIGHT = 1.0
Metadata = JsonObject


@dataclass(frozen=True)
class Item:
    """One thing that a publication should state; ``text`` is empty where the data do not state it."""

    name: str
    text: str
    keys: str  # sidecar fields that would state it


def items(run: Run) -> list[Item]:
    """Return all items of a run's acquisition in the order of the list."""
    metadata = run.echoes[0].metadata if run.echoes else {}
    listed = [Item(name, value(metadata), keys) for name, keys, value in _STATED]
    polarity = _polarity(run)
    listed.insert(3, Item("readout polarity", polarity, "ReadoutMode"))
    times_s = () if run.source is None else run.source.echo_times
    times = ", ".join(f"{1000 * time:.2f}".rstrip("0").rstrip(".") for time in times_s)
    listed.insert(4, Item("echo times", f"echo times {times} ms" if times else "", "EchoTime"))
    return [*listed, *_geometry(run)]


def _number(metadata: Metadata, *keys: str) -> float | None:
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _measured(text: str, *keys: str, scale: float = 1.0, unit: str = "") -> Callable[[Metadata], str]:
    def stated(metadata: Metadata) -> str:
        value = _number(metadata, *keys)
        return "" if value is None else f"{text} {scale * value:g}{unit}"

    return stated


#: Brackets cite in the methods text: those of a sidecar do not.
_NO_CITATION = str.maketrans("[]", "()")


def _words(metadata: Metadata, *keys: str) -> str:
    """Return the first of these fields that holds a text (or a list of texts)."""
    for key in keys:
        value = metadata.get(key)
        parts = value if isinstance(value, list | tuple) else [value]
        text = " ".join(" ".join(str(part).split()) for part in parts if part not in (None, ""))
        if text:
            return text.translate(_NO_CITATION)
    return ""


def _scanner(metadata: Metadata) -> str:
    text = " ".join(filter(None, (_words(metadata, "Manufacturer"), _words(metadata, "ManufacturersModelName"))))
    software = _words(metadata, "SoftwareVersions")
    return f"{text}, software {software}" if text and software else text


def _coil(metadata: Metadata) -> str:
    name, elements = _words(metadata, "ReceiveCoilName"), _words(metadata, "ReceiveCoilActiveElements")
    number = _number(metadata, "NumberReceiveCoilActiveElements")
    more = f"{number:g} elements" if number is not None else f"elements {elements}" if elements else ""
    text = f"receive coil {name}" if name else "receive coil" if more else ""
    return f"{text} ({more})" if more else text


def _sequence(metadata: Metadata) -> str:
    kind = _words(metadata, "MRAcquisitionType")
    name = _words(metadata, "PulseSequenceType", "PulseSequenceName", "SequenceName", "ScanningSequence")
    spoiled = "spoiled" if metadata.get("SpoilingState") is True else ""
    return " ".join(filter(None, (spoiled, kind, "gradient echo", f"({name})" if name else ""))) if kind or name else ""


def _acceleration(metadata: Metadata) -> str:
    factor = _number(metadata, "ParallelReductionFactorInPlane")
    slab = _number(metadata, "ParallelReductionFactorOutOfPlane")
    technique = _words(metadata, "ParallelAcquisitionTechnique")
    if factor is None and slab is None:
        return ""
    text = " × ".join(f"{value:g}" for value in (factor, slab) if value is not None)
    return f"acceleration factor {text}" + (f" ({technique})" if technique else "")


def _flow(metadata: Metadata) -> str:
    stated = metadata.get("FlowCompensation")
    if isinstance(stated, bool):
        return "flow compensation" if stated else "no flow compensation"
    options = re.split(r"[\W_]+", _words(metadata, "ScanOptions").upper())
    return "flow compensation" if "FC" in options else ""


def _combination(metadata: Metadata) -> str:
    how = _words(metadata, "CoilCombinationMethod")
    return f"coils combined on the scanner ({how})" if how else ""


def _strength(metadata: Metadata) -> str:
    value = _number(metadata, "MagneticFieldStrength")
    return "" if value is None else f"{value:g} T"


#: What sidecars state: name, fields, its words. The readout's polarity and the echo times come after the third.
_STATED: tuple[tuple[str, str, Callable[[Metadata], str]], ...] = (
    ("scanner", "Manufacturer, ManufacturersModelName", _scanner),
    ("receive coil", "ReceiveCoilName", _coil),
    ("sequence type", "MRAcquisitionType, PulseSequenceType", _sequence),
    (
        "repetition time",
        "RepetitionTime",
        _measured("repetition time", "RepetitionTimeExcitation", "RepetitionTime", scale=1000, unit=" ms"),
    ),
    ("flip angle", "FlipAngle", _measured("flip angle", "FlipAngle", unit="°")),
    ("bandwidth", "PixelBandwidth", _measured("bandwidth", "PixelBandwidth", unit=" Hz/pixel")),
    ("acceleration factor", "ParallelReductionFactorInPlane", _acceleration),
    ("partial Fourier", "PartialFourier", _measured("partial Fourier", "PartialFourier")),
    ("flow compensation", "FlowCompensation, ScanOptions", _flow),
    ("coil combination", "CoilCombinationMethod", _combination),
    (
        "scan time",
        "AcquisitionDuration",
        _measured("scan time", "TotalAcquisitionDuration", "AcquisitionDuration", unit=" s"),
    ),
)


def _polarity(run: Run) -> str:
    """Return the readout's polarity as a sidecar states it, else as it was found in the phase."""
    for echo in run.echoes:
        for key in ("ReadoutMode", "ReadoutPolarity", "MultiEchoReadout"):
            text = str(echo.metadata.get(key, "")).lower()
            for word in ("monopolar", "bipolar"):
                if word in text:
                    return f"{word} readout"
    phase = run.records.get("phase")
    if phase is not None and "bipolar" in phase.methods:
        return "bipolar readout, as found in the phase"
    return "" if len(run.echoes) > 1 else "one echo"


def _geometry(run: Run) -> list[Item]:
    """Return field of view, matrix, voxel size and orientation of the image."""
    names = ("field of view", "matrix", "voxel size", "slab orientation")
    path = run.path("magnitude") or _first_image(run)
    if path is None:
        return [Item(name, "", "the image") for name in names]
    shape, affine = read_grid(path)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    view, matrix, voxel = (
        " × ".join(f"{value:.3g}" for value in values) for values in (sizes * shape[:3], shape[:3], sizes)
    )
    texts = (f"field of view {view} mm³", f"matrix {matrix}", f"voxel size {voxel} mm³", _orientation(affine, sizes))
    return [Item(name, text, "the image") for name, text in zip(names, texts, strict=True)]


def _first_image(run: Run) -> Path | None:
    echo = run.echoes[0] if run.echoes else None
    return None if echo is None else echo.phase or echo.real


def _orientation(affine: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> str:
    """Return the slab's plane, from the third voxel axis, and how far it is turned from the scanner's axis."""
    normal = np.abs(affine[:3, 2] / sizes[2])
    axis = int(np.argmax(normal))
    turned = math.degrees(math.acos(min(1.0, float(normal[axis]))))
    return f"{_PLANES[axis]} slab" + (f", turned by {turned:.0f}°" if turned >= _STRAIGHT else "")
