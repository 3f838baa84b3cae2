"""Reading images, and writing files whole or not at all."""

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

import numpy as np
import numpy.typing as npt

from bids_app.derivatives import nifti
from bids_app.derivatives.affines import affine_in_mm
from bids_app.derivatives.digests import new_digest
from bids_app.derivatives.grids import common_grid
from bids_app.derivatives.scratch import part_path
from bids_app.derivatives.streams import gzip_stream, nifti_stream, npy_stream
from bids_app.derivatives.text import utf8
from bids_app.errors import QsmAppError

#: The largest label that float32 distinguishes from its neighbours: programs for images compute with that.
_MAX_LABEL = 1 << 24


@dataclass(frozen=True)
class Written:
    """A file as it was written: the digest of the bytes that went into it, its size and its modification time."""

    digest: str
    size: int  # bytes
    mtime_ns: int


class _DigestingFile:
    """A file that digests what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = file, new_digest()

    def write(self, content: bytes | memoryview) -> int:
        """Write bytes."""
        self._digest.update(content)
        return self._file.write(content)

    @property
    def digest(self) -> str:
        """The digest of everything that has been written."""
        return self._digest.hexdigest()


def read_image(path: Path, box: tuple[slice, ...] = ()) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return an image's scaled values (float32, C order) and its affine; an ``.npy`` file has the unit affine.

    With a ``box`` only the voxels inside it are returned; the affine is that of the whole image.

    Raises
    ------
    QsmAppError
        If the file is damaged.
    """
    if path.suffix == ".npy":
        return (np.ascontiguousarray(np.load(path, mmap_mode="r")[box]) if box else np.load(path)), np.eye(4)
    stored, affine = _stored(path)
    return np.ascontiguousarray(stored[box] if box else stored, dtype=np.float32), affine


def read_into(path: Path, out: npt.NDArray[np.float32]) -> None:
    """Read an image's scaled values into an array of its shape.

    Raises
    ------
    QsmAppError
        If the file is damaged.
    """
    out[...] = np.load(path, mmap_mode="r") if path.suffix == ".npy" else _stored(path)[0]


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Return where an image is larger than zero (C order); for masks much faster than by way of float32.

    Raises
    ------
    QsmAppError
        If the file is damaged.
    """
    stored = np.load(path) if path.suffix == ".npy" else _stored(path)[0]
    mask: npt.NDArray[np.bool_] = np.ascontiguousarray(stored > 0)
    return mask


def read_label_image(path: Path) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return a segmentation's labels as they are stored, and its affine.

    Raises
    ------
    QsmAppError
        If the file is damaged, or holds something else than labels: fractions, several volumes, numbers below 0, or
        numbers that programs round together.
    """
    stored, affine = _stored(path)
    labels = np.ascontiguousarray(stored)
    if labels.ndim != 3:
        raise QsmAppError(f"{path} has {labels.ndim} dimensions; a segmentation is one 3D image, split it")
    if labels.dtype.kind == "f":
        odd = ~np.isfinite(labels) | (labels != np.rint(labels))
        if odd.any():
            raise QsmAppError(
                f"{path} holds values that are not whole ({labels[odd].flat[0]:g}): a segmentation holds labels, "
                "and probability maps are none"
            )
    if labels.size and labels.min() < 0:
        raise QsmAppError(f"{path} has labels below 0 ({labels.min():g}); a segmentation has 0 where no region is")
    if labels.size and labels.max() > _MAX_LABEL:
        raise QsmAppError(f"{path} has labels above {_MAX_LABEL}, which programs round together; renumber them")
    return labels.astype(np.int32), affine


def _stored(path: Path) -> tuple[npt.NDArray[np.number], npt.NDArray[np.float64]]:
    """Return an image's scaled values as they are stored, and its affine."""
    from isal import igzip

    with _damage_reported(path):
        image = nifti.load(path)
        if path.name.endswith((".nii.gz", ".mgz")):
            # Twice as fast as the standard library, which nibabel takes.
            with igzip.open(path, "rb") as content:
                data = np.asanyarray(type(image).from_stream(content).dataobj)
        else:
            data = np.asanyarray(image.dataobj)
    if data.ndim > 3 and set(data.shape[3:]) == {1}:
        data = data.reshape(data.shape[:3], order="F")
    return data, affine_in_mm(image)


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Turn what libraries raise for a damaged image into one sentence."""
    from isal import isal_zlib
    from nibabel.filebasedimages import ImageFileError

    broken_stream = cast("type[Exception]", isal_zlib.error)
    try:
        yield
    except (ImageFileError, OSError, EOFError, zlib.error, broken_stream, ValueError) as error:
        raise QsmAppError(f"{path} cannot be read, it is damaged ({error}); copy it again") from error


def read_volumes(path: Path) -> Iterator[npt.NDArray[np.float32]]:
    """Give the 3D volumes of a NIfTI image, scaled (float32, C order), one after the other: one is in memory at a time.

    Raises
    ------
    QsmAppError
        If the file is damaged.
    """
    from isal import igzip
    from nibabel.volumeutils import apply_read_scaling

    with _damage_reported(path):
        image = nifti.load(path)
        proxy, shape, dtype = image.dataobj, image.shape[:3], image.header.get_data_dtype()
        size = math.prod(shape) * dtype.itemsize
        with igzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as content:
            content.seek(int(proxy.offset))
            for _ in range(math.prod(image.shape[3:])):
                stored = content.read(size)
                if len(stored) < size:
                    raise EOFError("data are missing at its end")
                volume = np.frombuffer(stored, dtype).reshape(shape, order="F")
                yield np.ascontiguousarray(apply_read_scaling(volume, proxy.slope, proxy.inter), dtype=np.float32)


def read_grid(path: Path) -> tuple[tuple[int, ...], npt.NDArray[np.float64]]:
    """Return shape and affine of an image from its header alone."""
    grid = common_grid(path)
    if grid is not None:
        return grid
    image = nifti.load(path)
    return tuple(image.shape), affine_in_mm(image)


def _place(path: Path, fill: "Callable[[_DigestingFile], object]") -> Written:
    """Fill a file in the folder of its place, flush it to the disk and move it there: whole or not at all."""
    temporary = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            content = _DigestingFile(file)
            fill(content)
            file.flush()
            os.fsync(file.fileno())
        state = temporary.stat()  # after it is closed: some shared disks set the time then
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise QsmAppError(f"{path} cannot be written: {error.strerror or error}") from error
    return Written(content.digest, state.st_size, state.st_mtime_ns)


def write_bytes(path: Path, content: bytes) -> Written:
    """Write a file, atomically.

    Raises
    ------
    QsmAppError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    return _place(path, lambda file: file.write(content))


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file of the whole dataset, unless it is there with this content.

    Thousands of elements of an array would else replace the same file while others read it.
    """
    try:
        same = path.read_bytes() == content
    except OSError:
        same = False
    if not same:
        write_bytes(path, content)


def open_log(path: Path) -> TextIO:
    """Open a log file that grows line by line.

    Raises
    ------
    QsmAppError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise QsmAppError(f"{path} cannot be written: {error.strerror or error}") from error


def place_file(source: Path, path: Path) -> Written:
    """Bring a finished file to its place, atomically, also from another file system."""
    with source.open("rb") as content:
        return _place(path, lambda file: shutil.copyfileobj(content, file, 1 << 20))


def write_json(path: Path, content: object) -> Written:
    """Write JSON with sorted structure as given, atomically."""
    return write_bytes(path, to_json_bytes(content))


def to_json_bytes(content: object) -> bytes:
    """Return JSON as all our files hold it."""
    return (json.dumps(content, indent=2) + "\n").encode()


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> Written:
    """Write rows of plain values, all with the same keys in the same order, as a BIDS TSV, atomically.

    Raises
    ------
    ValueError
        If there is no row, or rows differ in their columns.
    """
    if not rows:
        raise ValueError(f"{path.name}: a table needs at least one row")
    columns = list(rows[0])
    if any(list(row) != columns for row in rows):
        raise ValueError(f"{path.name}: rows have different columns")
    lines = ["\t".join(columns), *("\t".join(_cell(value) for value in row.values()) for row in rows)]
    return write_bytes(path, utf8("\n".join(lines) + "\n"))


def _cell(value: object) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{float(value):.7g}" if math.isfinite(value) else "n/a"
    return " ".join(str(value).split()) or "n/a"


def write_image(path: Path, data: npt.NDArray[np.generic], affine: npt.NDArray[np.generic], dtype: str) -> Written:
    """Write a NIfTI-1 image (``.nii.gz``, same bytes for the same data) or an ``.npy`` array, atomically."""
    pieces = npy_stream(data, dtype) if path.suffix == ".npy" else gzip_stream(nifti_stream(data, affine, dtype))
    return _place(path, lambda file: [file.write(piece) for piece in pieces])
