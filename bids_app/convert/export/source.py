"""Find the DICOM series that an image of the dataset was converted from: by its grid and its pixel values."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pydicom

from bids_app.convert.scan.frames import each_frame
from bids_app.convert.scan.header import Instance
from bids_app.convert.scan.multiframe import frame_header
from bids_app.errors import InputRefusedError

Floats = npt.NDArray[np.floating]
#: DICOM has x to the left and y to the back, NIfTI the opposite of both.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Grids agree to this part of a voxel; values of one slice correlate at least so well.
_GRID_TOLERANCE, _SAME_PIXELS = 0.02, 0.9999

#: Attributes of type 2 of the MR Image IOD: an export has them, if empty.
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
    "ScanOptions",
    "MRAcquisitionType",
    "EchoTime",
    "EchoTrainLength",
    "SliceThickness",
)


@dataclass(frozen=True)
class Volume:
    """Slices of one volume, in order along the normal, without their pixels.

    A slice of an enhanced file is described as a single image would be; its identifiers are those of the file.
    """

    slices: tuple[pydicom.Dataset, ...]
    files: tuple[Path, ...]
    affine: Floats  # of [column, row, slice], NIfTI's axes
    frames: tuple[int, ...] = ()  # numbers in the enhanced file, from 0; empty: one image in a file

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows and slices."""
        return int(self.slices[0].Columns), int(self.slices[0].Rows), len(self.slices)

    def pixels(self, place: int) -> Floats:
        """Return the values of one slice, ``[column, row]``."""
        head, stored = self.slices[place], pydicom.dcmread(self.files[place]).pixel_array
        if self.frames:
            stored = stored[self.frames[place]]
        slope, intercept = float(head.get("RescaleSlope", 1)), float(head.get("RescaleIntercept", 0))
        return np.asarray(stored.T * slope + intercept, np.float64)


def volumes_of(instances: Sequence[Instance]) -> list[Volume]:
    """Return the volumes of classic and of enhanced files.

    A volume whose slices do not lie at equal distances, or are spread over several enhanced files, is left out.
    """
    volumes = [volume for instance in instances if instance.values["enhanced"] for volume in _enhanced(instance)]
    groups: dict[tuple[object, ...], list[Instance]] = defaultdict(list)
    for instance in instances:
        if not instance.values["is_mr_image"] or instance.values["enhanced"] or len(instance.frames) != 1:
            continue
        frame = instance.frames[0]
        groups[*instance.series, frame.part, frame.echo_time, instance.values["coil"]].append(instance)
    classic = [[_Slice(pydicom.dcmread(i.path, stop_before_pixels=True), i.path) for i in g] for g in groups.values()]
    return [*volumes, *(volume for read in classic if (volume := _volume(read)) is not None)]


def _enhanced(instance: Instance) -> Iterator[Volume]:
    """Yield the volumes of an enhanced file."""
    if not instance.values["is_mr_image"]:
        return
    data = pydicom.dcmread(instance.path, stop_before_pixels=True)
    groups: dict[object, list[_Slice]] = defaultdict(list)
    for index, (key, _, _) in enumerate(each_frame(data)):
        head = frame_header(data, index)
        head.EchoTime = key[1]
        groups[key].append(_Slice(head, instance.path, index))
    yield from (volume for read in groups.values() if (volume := _volume(read)) is not None)


class _Slice(NamedTuple):
    """The header of a slice, its file, and its frame in it (None: the file is one image)."""

    head: pydicom.Dataset
    path: Path
    frame: int | None = None


def _volume(read: list[_Slice]) -> Volume | None:
    if any("ImagePositionPatient" not in s.head or "ImageOrientationPatient" not in s.head for s in read):
        return None
    for head, name in ((s.head, name) for s in read for name in TYPE_2 if name not in s.head):
        setattr(head, name, None)
    axes = np.array(read[0].head.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*axes)
    read.sort(key=lambda s: float(normal @ np.array(s.head.ImagePositionPatient, float)))
    places = np.array([np.array(s.head.ImagePositionPatient, float) for s in read])
    steps = np.diff(places, axis=0)
    if len(read) < 2 or not np.allclose(steps, steps[0], atol=1e-2) or np.linalg.norm(steps[0]) < 1e-3:
        return None
    rows, columns = (float(v) for v in read[0].head.PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[0] * columns, axes[1] * rows
    affine[:3, 2], affine[:3, 3] = (places[-1] - places[0]) / (len(read) - 1), places[0]
    heads, paths, frames = zip(*read, strict=True)
    return Volume(heads, paths, _LPS_TO_RAS @ affine, () if frames[0] is None else frames)


def on_slices(data: npt.NDArray[np.generic], affine: Floats, volume: Volume) -> npt.NDArray[np.generic] | None:
    """Return an image as ``[column, row, slice]`` of a volume by flips and swaps of axes; None on another grid."""
    to_volume = np.linalg.inv(volume.affine) @ np.asarray(affine, float)
    turns = np.round(to_volume[:3, :3])
    if not np.allclose(to_volume[:3, :3], turns, atol=_GRID_TOLERANCE / max(data.shape)):
        return None
    if not np.allclose(np.abs(turns).sum(0), 1) or not np.allclose(np.abs(turns).sum(1), 1):
        return None
    order = [int(np.flatnonzero(turns[axis])[0]) for axis in range(3)]
    turned = data.transpose(order)
    signs = [turns[axis, order[axis]] for axis in range(3)]
    first = [0 if sign > 0 else size - 1 for sign, size in zip(signs, turned.shape, strict=True)]
    if turned.shape != volume.shape or not np.allclose(to_volume[:3, 3], first, atol=_GRID_TOLERANCE):
        return None
    return turned[tuple(slice(None, None, 1 if sign > 0 else -1) for sign in signs)]


def find_source(volumes: Sequence[Volume], image: Floats, affine: Floats, name: str) -> Volume:
    """Return the volume that an image was converted from.

    The grid must agree, and the values of the middle slice: people scanned with one protocol often share the grid, and
    the identity of another person must never reach a map.

    Raises
    ------
    InputRefusedError
        If no volume agrees, volumes of several studies do, or the source has no frame of reference.
    """
    same = []
    for volume in volumes:
        turned = on_slices(image, affine, volume)
        if turned is None:
            continue
        middle = volume.shape[2] // 2
        shown, other = np.asarray(turned[:, :, middle], float).ravel(), volume.pixels(middle).ravel()
        if shown.std() > 0 and other.std() > 0 and np.corrcoef(shown, other)[0, 1] >= _SAME_PIXELS:
            same.append(volume)
    if not same:
        raise InputRefusedError(
            [f"{name}: no series of --dicom-source has its grid and pixel values; give the DICOM files it came from"]
        )
    if len({str(volume.slices[0].StudyInstanceUID) for volume in same}) > 1:
        raise InputRefusedError(
            [f"{name}: series of several studies in --dicom-source have the same pixels; give the folder of one study"]
        )
    if not same[0].slices[0].get("FrameOfReferenceUID"):
        raise InputRefusedError([f"{same[0].files[0]}: FrameOfReferenceUID is missing, which every export must share"])
    return same[0]
