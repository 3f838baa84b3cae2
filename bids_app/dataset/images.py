"""What is wrong with an image file, found out by reading as little of it as possible.

The header states the grid and how many bytes there must be; a gzip file ends with the length of what is in it; and a
phase is read just until two of its values differ. A dataset of hundreds of participants is checked in seconds.
"""

import logging
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from bids_app.dataset.orientation import KNOWN, Orientation, orientation_of
from bids_app.derivatives import nifti
from bids_app.derivatives.affines import affine_in_mm
from bids_app.derivatives.presence import absence

_CHUNK = 1 << 20
#: A thousand times as much may come out of compressed data.
_COMPRESSED_CHUNK = 1 << 16
_COMPRESSED = (".gz", ".mgz")
#: How gzip files begin; zlib's word for their format.
_MAGIC, _GZIP = b"\x1f\x8b", 31
#: How NIfTI-1 and NIfTI-2 begin: the length of their header, in both byte orders.
_NIFTI_STARTS = tuple(length.to_bytes(4, order) for length in (348, 540) for order in ("little", "big"))


@dataclass(frozen=True)
class ImageState:
    """The grid of an image file, or the sentence that says why it cannot be used."""

    shape: tuple[int, ...] = ()
    affine: npt.NDArray[np.float64] = field(default_factory=lambda: np.eye(4), compare=False)
    problem: str = ""
    volumes: int = 1
    orientation: Orientation = KNOWN


def look_at(path: Path, is_phase: bool, coils: int = 1) -> ImageState:
    """Return the state of one image file, of which so many volumes are expected where it has several."""
    missing = absence(path) or _wrong_name(path)
    if missing:
        return ImageState(problem=f"{path.name}: {missing}")
    logging.getLogger("nibabel.global").setLevel(logging.ERROR)  # what it corrects in headers is reported here
    try:
        image = nifti.load(path)
        shape, dtype = tuple(image.shape), image.header.get_data_dtype()
        start, volumes = int(image.dataobj.offset), int(np.prod(shape[3:], dtype=np.int64))
        fault = _end_problem(path, start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    except Exception as error:  # any failure to decode a damaged file, whatever library raises it
        fault = _decompressed(path)[1] if path.name.endswith(_COMPRESSED) else ""
        fault = fault or f"cannot be read, it is damaged ({type(error).__name__}); copy it again"
        return ImageState(problem=f"{path.name}: {fault}")
    problem = ""
    if min(shape, default=0) < 1:
        problem = f"{path.name}: is damaged, its header gives {' x '.join(map(str, shape))} voxels; copy it again"
    elif fault:
        problem = f"{path.name}: {fault}"
    elif dtype.kind not in "iuf":
        problem = f"{path.name}: holds {dtype} values; store magnitude and phase as files of their own"
    elif len(shape) < 3 or (volumes > 1 and coils != volumes):
        problem = _dimensions(path.name, shape, coils)
    if problem:
        return ImageState(shape[:3], np.asarray(image.affine), problem, volumes)
    orientation = orientation_of(image, _stored_header(path, image.header))
    if orientation.broken:
        problem = f"{path.name}: {orientation.broken}"
    elif is_phase:
        problem = _constant(path, start, dtype)
    return ImageState(shape[:3], affine_in_mm(image), problem, volumes, orientation)


def _wrong_name(path: Path) -> str:
    """Return what is wrong with a name that says compressed of a plain file, or plain of a compressed one."""
    with path.open("rb") as file:
        start = file.read(4)
    compressed, is_nifti = start[:2] == b"\x1f\x8b", start in _NIFTI_STARTS
    if path.name.endswith(".nii.gz") and is_nifti:
        return "is not compressed, though its name ends with .gz; rename it to .nii or compress it with gzip"
    if path.name.endswith(".nii") and compressed:
        return "is compressed, though its name does not end with .gz; rename it to .nii.gz"
    return ""


def _stored_header(path: Path, header: nifti.Header) -> nifti.Header:
    """Return the header as the file has it: nibabel replaces voxel sizes of 0 by 1."""
    if "pixdim" not in header:
        return header
    with open_image(path) as file:
        return type(header)(file.read(type(header).sizeof_hdr), header.endianness, check=False)


def volumes_of(path: Path) -> int:
    """Return how many 3D volumes an image holds by its header; 1 for a file whose header cannot be read."""
    try:
        image = nifti.load(path)
    except Exception:  # whatever nibabel raises for a damaged file: `look_at` says what is wrong with it
        return 1
    return int(np.prod(image.shape[3:], dtype=np.int64))


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape of an image's volumes by its header; empty for a file whose header cannot be read."""
    try:
        return tuple(nifti.load(path).shape[:3])
    except Exception:  # whatever nibabel raises for a damaged file: `look_at` says what is wrong with it
        return ()


def _dimensions(name: str, shape: tuple[int, ...], coils: int) -> str:
    volumes = "x".join(map(str, shape[3:])) or "no"
    if coils > 1:
        return f"{name}: has {volumes} volumes, the first phase has {coils} coils; all echoes and parts have the same"
    return (
        f"{name}: has {len(shape)} dimensions ({volumes} volumes); BIDS keeps one 3D file per echo, split it; if the "
        "volumes are of single receive coils, --set field.coils=combine combines them"
    )


def open_image(path: Path) -> BinaryIO:
    """Open the content of an image file, decompressed."""
    if path.name.endswith(_COMPRESSED):
        from isal import igzip

        opened: BinaryIO = igzip.open(path, "rb")
        return opened
    return path.open("rb")


def _end_problem(path: Path, needed: int) -> str:
    """Return what is wrong with a file whose content, decompressed, should have so many bytes, empty if it has them.

    A gzip file's last bytes say how many there are. Where they do not, all of it is read: it may have several members.
    """
    truncated = "is damaged or truncated, data are missing at its end; copy it again"
    if not path.name.endswith(_COMPRESSED):
        return "" if path.stat().st_size >= needed else truncated
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        if int.from_bytes(file.read(4), "little") == needed % (1 << 32):
            return ""
    size, fault = _decompressed(path)
    return fault or ("" if size >= needed else truncated)


def _decompressed(path: Path) -> tuple[int, str]:
    """Return the bytes that all members of a gzip file hold, and what is wrong with it."""
    size, member, rest = 0, zlib.decompressobj(_GZIP), b""
    with path.open("rb") as file:
        while content := rest or file.read(_COMPRESSED_CHUNK):
            rest = b""
            if member.eof:
                content = content.lstrip(b"\0")  # some devices fill files up with zeros
                if content and not content.startswith(_MAGIC[: len(content)]):
                    behind = "has other data behind the end of the compressed image; copy it again, or compress it anew"
                    return size, behind
                member = zlib.decompressobj(_GZIP) if content else member
            try:
                size += len(member.decompress(content))
            except zlib.error:
                return size, "is damaged, its compressed data or their checksum are wrong; copy it again"
            rest = member.unused_data if member.eof and content else b""
    return size, "" if member.eof else "is damaged or truncated, data are missing at its end; copy it again"


def _constant(path: Path, start: int, dtype: np.dtype[np.generic]) -> str:
    """Return a sentence if no two finite values of an image differ."""
    first: np.generic | None = None
    try:
        with open_image(path) as file:
            file.seek(start)
            while chunk := file.read(_CHUNK - _CHUNK % dtype.itemsize):
                values = np.frombuffer(chunk[: len(chunk) - len(chunk) % dtype.itemsize], dtype)
                values = values[np.isfinite(values)]
                if values.size:
                    first = values[0] if first is None else first
                    if np.any(values != first):
                        return ""
    except Exception as error:  # a damaged stream, whatever library says so
        return f"{path.name}: cannot be read, it is damaged ({type(error).__name__}); copy it again"
    what = "has no finite value" if first is None else "has one constant value"
    return f"{path.name}: the phase {what}; export the phase again"


def middle_slices(path: Path, count: int) -> npt.NDArray[np.float32]:
    """Return the middle slices of an image's first volume, scaled; no more of the file than up to them is read."""
    image = nifti.load(path)
    if not hasattr(image.dataobj, "offset"):
        return np.asarray(image.dataobj, np.float32)
    shape, dtype, proxy = image.shape[:3], image.header.get_data_dtype(), image.dataobj
    count = min(count, shape[2])
    start = (shape[2] - count) // 2
    size = shape[0] * shape[1] * dtype.itemsize
    with open_image(path) as file:
        file.seek(int(proxy.offset) + start * size)
        stored = np.frombuffer(file.read(count * size), dtype).reshape((shape[0], shape[1], count), order="F")
    slope, inter = (1.0 if proxy.slope is None else proxy.slope), (proxy.inter or 0.0)
    scaled: npt.NDArray[np.float32] = (stored * np.float32(slope) + np.float32(inter)).astype(np.float32)
    return scaled
