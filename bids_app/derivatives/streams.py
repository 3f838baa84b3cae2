"""Images as streams of bytes, piece by piece: what is written needs no second copy in memory."""

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

#: So many bytes at a time: they stay in the cache between what digests, compresses and writes them.
_PIECE_BYTES = 1 << 20


def npy_stream(data: npt.NDArray[np.generic], dtype: str) -> Iterator[bytes | memoryview]:
    """Yield the bytes of an ``.npy`` file."""
    array = np.ascontiguousarray(data, dtype=dtype)
    header = io.BytesIO()
    facts = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(header, facts)  # type: ignore[no-untyped-call]
    yield header.getvalue()
    yield from _pieces(array)


def nifti_stream(
    data: npt.NDArray[np.generic], affine: npt.NDArray[np.generic], dtype: str
) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a NIfTI-1 image in one file (not compressed): header, no extension, values with x fastest."""
    import nibabel

    # An image of the right shape and type without its values: the header is all that is wanted.
    stub = np.broadcast_to(np.zeros((), dtype), data.shape)
    image = nibabel.Nifti1Image(stub, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.update_header()
    image.header.set_slope_inter(1, 0)
    image.header.set_data_offset(len(image.header.binaryblock) + 4)
    yield image.header.binaryblock + bytes(4)
    turned = data.T  # x is its last axis
    count = max(1, _PIECE_BYTES * len(turned) // max(1, data.size * np.dtype(dtype).itemsize))
    for start in range(0, len(turned), count):
        yield from _pieces(np.ascontiguousarray(turned[start : start + count], dtype=dtype))


def gzip_stream(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield a gzip file of a stream; the same bytes for the same stream (no time, no name)."""
    from isal import isal_zlib

    packer = isal_zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _pieces(array: npt.NDArray[np.generic]) -> Iterator[memoryview]:
    """Yield the bytes of an array in C order."""
    if array.size:
        content = array.data.cast("B")
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]
