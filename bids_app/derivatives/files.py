"""Reading images, and writing files whole or not at all."""

import gzip
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_app.errors import QsmAppError

_PART = ".part"


def read_image(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return an image's scaled values (float32, C order) and its affine; an ``.npy`` file has the unit affine."""
    if path.suffix == ".npy":
        return np.load(path), np.eye(4)
    import nibabel

    image: Any = nibabel.load(path)
    return np.ascontiguousarray(image.dataobj, dtype=np.float32), np.asarray(image.affine, np.float64)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, flush it to the disk and move it there.

    Raises
    ------
    QsmAppError
        If the folder cannot be written or the disk is full; nothing is left behind.
    """
    # Host, process and random number: unique among all nodes that write to one file system.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{_PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise QsmAppError(f"{path} cannot be written: {error.strerror or error}") from error


def remove_parts(folder: Path, basename: str) -> None:
    """Remove what a killed process left of files that start with ``basename``."""
    if folder.is_dir():
        for path in folder.glob(f".{basename}_*{_PART}"):
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON with sorted structure as given, atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_image(path: Path, data: npt.NDArray[Any], affine: npt.NDArray[Any], dtype: str) -> None:
    """Write a NIfTI-1 image (``.nii.gz``, same bytes for the same data) or an ``.npy`` array, atomically."""
    if path.suffix == ".npy":
        import io

        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(data, dtype=dtype))
        write_bytes(path, buffer.getvalue())
        return
    import nibabel

    image = nibabel.Nifti1Image(np.asarray(data, dtype=dtype), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
