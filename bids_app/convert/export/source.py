"""Find the DICOM series that an image of the dataset was converted from: by its grid and its pixel values."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from bids_app.convert.scan.header import Instance
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
    """Classic (one image in a file) slices of one volume, in order along the normal, without their pixels."""

    slices: tuple[pydicom.Dataset, ...]
    files: tuple[Path, ...]
    affine: Floats  # of [column, row, slice], NIfTI's axes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows and slices."""
        return int(self.slices[0].Columns), int(self.slices[0].Rows), len(self.slices)

    def pixels(self, place: int) -> Floats:
        """Return the values of one slice, ``[column, row]``."""
        data = pydicom.dcmread(self.files[place])
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        return np.asarray(data.pixel_array.T * slope + intercept, np.float64)


def volumes_of(instances: Sequence[Instance]) -> list[Volume]:
    """Return the volumes of classic files; a volume whose slices do not lie at equal distances is left out."""
    groups: dict[tuple[object, ...], list[Instance]] = defaultdict(list)
    for instance in instances:
        if not instance.values["is_mr_image"] or instance.values["enhanced"] or len(instance.frames) != 1:
            continue
        frame = instance.frames[0]
        groups[*instance.series, frame.part, frame.echo_time, instance.values["coil"]].append(instance)
    return [volume for members in groups.values() if (volume := _volume(members)) is not None]


def _volume(members: Sequence[Instance]) -> Volume | None:
    read = [(pydicom.dcmread(instance.path, stop_before_pixels=True), instance.path) for instance in members]
    if any("ImagePositionPatient" not in data or "ImageOrientationPatient" not in data for data, _ in read):
        return None
    for data, name in ((data, name) for data, _ in read for name in TYPE_2 if name not in data):
        setattr(data, name, None)
    axes = np.array(read[0][0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(*axes)
    read.sort(key=lambda pair: float(normal @ np.array(pair[0].ImagePositionPatient, float)))
    places = np.array([np.array(data.ImagePositionPatient, float) for data, _ in read])
    steps = np.diff(places, axis=0)
    if len(read) < 2 or not np.allclose(steps, steps[0], atol=1e-2) or np.linalg.norm(steps[0]) < 1e-3:
        return None
    rows, columns = (float(v) for v in read[0][0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = axes[0] * columns, axes[1] * rows
    affine[:3, 2], affine[:3, 3] = (places[-1] - places[0]) / (len(read) - 1), places[0]
    return Volume(tuple(data for data, _ in read), tuple(path for _, path in read), _LPS_TO_RAS @ affine)


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
