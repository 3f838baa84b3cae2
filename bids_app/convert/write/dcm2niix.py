"""Convert with dcm2niix alone, under the heuristic's names: for images that heudiconv cannot separate."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pydicom

from bids_app.convert.name.plan import VolumePlan
from bids_app.convert.scan.frames import part_of
from bids_app.convert.scan.multiframe import single_images
from bids_app.convert.write.heudiconv import link_files
from bids_app.convert.write.tools import find_dcm2niix, run
from bids_app.model.json_values import JsonObject

#: Echo times (ms) closer than this are one.
_SAME_ECHO = 0.011

#: Places of working files say nothing to the user.
_PATH = re.compile(r"/\S*")


def run_split(volumes: Sequence[VolumePlan], scratch: Path) -> tuple[Path, dict[str, str]]:
    """Convert volumes of enhanced multi-frame files after splitting the files; return what run_dcm2niix does."""
    single = []
    for index, volume in enumerate(volumes):
        folder = scratch / f"single-{index:04d}"
        folder.mkdir(parents=True)
        try:
            single.append(replace(volume, files=tuple(single_images(volume.files, volume.volume, folder))))
        except ValueError as error:
            return scratch, {volume.target: str(error)}
    return run_dcm2niix(single, scratch)


def run_dcm2niix(volumes: Sequence[VolumePlan], scratch: Path) -> tuple[Path, dict[str, str]]:
    """Convert volumes of one series; returns the folder of the images and why volumes are missing, by target."""
    out = scratch / "named"
    out.mkdir(parents=True)
    missing: dict[str, str] = {}
    groups: dict[tuple[Path, ...], list[VolumePlan]] = {}
    for volume in volumes:
        groups.setdefault(volume.files, []).append(volume)
    for index, (files, members) in enumerate(groups.items(), start=1):
        folder = scratch / f"dicom-{index:04d}"
        folder.mkdir()
        link_files(files, folder)
        images, said = _convert(folder, scratch / f"made-{index:04d}", scratch)
        if len(images) > len(members) and _unite_echo_times(folder, [member.volume.echo_time for member in members]):
            images, said = _convert(folder, scratch / f"made-{index:04d}-united", scratch)
        _match(images, members, out, missing, said)
    return out, missing


def _convert(folder: Path, made: Path, scratch: Path) -> tuple[list[Path], str]:
    """Run dcm2niix on a folder; returns the images and the last line that it printed."""
    made.mkdir()
    options = ["-b", "y", "-ba", "y", "-z", "y", "-x", "n", "-m", "0", "-w", "2", "-f", "image", "-o"]
    ran = run([find_dcm2niix(), *options, str(made), str(folder)], scratch)
    return sorted(made.glob("*.nii.gz")), ran.last_line


def _unite_echo_times(folder: Path, echo_times: Sequence[float | None]) -> bool:
    """Give slices whose echo times (ms) hardly differ from a volume's that very time; return whether any changed.

    dcm2niix makes images of their own of slices that differ by a microsecond.
    """
    known = [time for time in echo_times if time is not None]
    changed = False
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        stated = pydicom.dcmread(path, specific_tags=["EchoTime"]).get("EchoTime")
        near = min(known, key=lambda time: abs(time - float(stated)), default=None) if stated is not None else None
        if near is None or float(stated) == near or not _same_echo(float(stated), near):
            continue
        data = pydicom.dcmread(path)
        data.EchoTime = f"{near:g}"
        part = path.with_name(f"{path.name}.part")
        data.save_as(part)
        part.replace(path)  # the name was a link to the user's file, which stays as it is
        changed = True
    return changed


def _match(
    images: Sequence[Path], members: Sequence[VolumePlan], out: Path, missing: dict[str, str], said: str
) -> None:
    """Give every volume the image that dcm2niix made of it, by part and echo time in the sidecars."""
    described = [(image, *_describe(image)) for image in images]
    for member in members:
        candidates = [
            image
            for image, part, echo_time in described
            if len(members) == 1 or (part == member.volume.part and _same_echo(echo_time, member.volume.echo_time))
        ]
        if len(candidates) != 1:
            times = sorted({time for image, _, time in described if image in candidates and time is not None})
            which = f" (echo times {', '.join(f'{time:g}' for time in times)} ms)" if len(times) > 1 else ""
            what = f"dcm2niix made {len(candidates)} images of it instead of one{which}"
            missing[member.target] = (
                what if candidates else f"dcm2niix made no image of it ({_PATH.sub('its files', said)})"
            )
            continue
        target = out / f"{member.target}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        candidates[0].rename(target)
        sidecar(candidates[0]).rename(sidecar(target))


def sidecar(image: Path) -> Path:
    """Return the JSON file of an image, whatever dots its name holds."""
    return image.with_name(re.sub(r"\.nii(\.gz)?$", ".json", image.name))


def _describe(image: Path) -> tuple[str, float | None]:
    values: JsonObject = json.loads(sidecar(image).read_text(encoding="utf-8"))
    tokens = [str(t) for t in values.get("ImageType", [])][2:]
    ending = re.search(r"_(ph|real|imaginary|fieldmaphz)[a-z]?\.nii\.gz$", image.name)
    words = {"ph": "PHASE", "real": "REAL", "imaginary": "IMAGINARY", "fieldmaphz": "B0"}
    part = part_of([words[ending.group(1)]] if ending else [t for t in tokens if t != "MIXED"])
    seconds = values.get("EchoTime")
    return part, None if seconds is None else float(seconds) * 1000


def _same_echo(a: float | None, b: float | None) -> bool:
    return a is None or b is None or abs(a - b) < _SAME_ECHO
