"""Shape and affine of common NIfTI-1 files from the bytes of their headers, many times as fast as by nibabel."""

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

_HEADER_BYTES, _MAGIC = 348, b"n+1\0"
#: Where the values of an image begin at the earliest.
_FIRST_VALUE = 352
#: A compressed header with the first bytes of an image is shorter.
_READ_BYTES = 2048
#: Codes of the types of values that images have: integers, floats and complex numbers of up to 64 bits.
_TYPES = frozenset((2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280))
#: Codes of what the rows of the affine refer to.
_XFORMS = range(1, 5)
#: A shape that FreeSurfer writes for surfaces, which stands for another one.
_FREESURFER = (27307, 1, 6)
#: Length unit (the lowest three bits of xyzt_units) in mm: metre, millimetre, micrometre.
UNITS_MM = {1: 1000.0, 2: 1.0, 3: 0.001}


def common_grid(path: Path) -> tuple[tuple[int, ...], npt.NDArray[np.float64]] | None:
    """Return shape and affine (mm) of a plain NIfTI-1 file; None for all that needs a closer look.

    These are files that cannot be read or are no NIfTI-1 files, other byte orders, headers with unusual values, and
    those whose affine is not given by its rows (``sform``).
    """
    header = _header_of(path)
    if header is None:
        return None
    dims = struct.unpack_from("<8h", header, 40)
    (datatype,), (offset,) = struct.unpack_from("<h", header, 70), struct.unpack_from("<f", header, 108)
    qform, sform = struct.unpack_from("<2h", header, 252)
    shape = dims[1 : dims[0] + 1]
    is_common = 3 <= dims[0] <= 7 and min(shape) > 0 and datatype in _TYPES and sform in _XFORMS
    if not is_common or offset < _FIRST_VALUE or qform not in (0, *_XFORMS) or shape[:3] == _FREESURFER:
        return None
    affine = np.eye(4)
    affine[:3] = np.reshape(struct.unpack_from("<12f", header, 280), (3, 4))
    affine[:3] *= UNITS_MM.get(header[123] & 7, 1.0)
    return shape, affine


def _header_of(path: Path) -> bytes | None:
    """Return the header of a little-endian NIfTI-1 file with its image, None where the file is anything else."""
    if not path.name.endswith((".nii", ".nii.gz")):
        return None
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(_READ_BYTES)
        if path.name.endswith(".gz"):
            start = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(start, _HEADER_BYTES)
    except (OSError, zlib.error):
        return None
    header = start[:_HEADER_BYTES]
    is_nifti = len(header) == _HEADER_BYTES and header[:4] == _HEADER_BYTES.to_bytes(4, "little")
    return header if is_nifti and header[344:] == _MAGIC else None
