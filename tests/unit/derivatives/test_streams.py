"""Streams hold what nibabel and NumPy write by themselves, whatever the shape, the type and the order in memory."""

import gzip
import io

import nibabel
import numpy as np
import pytest

from bids_app.derivatives.streams import gzip_stream, nifti_stream, npy_stream

AFFINE = np.array([[-1.5, 0, 0.2, 10], [0, 1.2, 0.1, -20], [0.1, 0, 2, 5], [0, 0, 0, 1]])


def arrays():
    random = np.random.default_rng(2)
    plain = 40 * random.random((12, 13, 14), np.float32)
    large = 90 * random.random((90, 64, 100), np.float32)  # more than a piece
    return {
        "plain": plain,
        "fastest first": np.asfortranarray(plain),
        "strided": large[::2, ::-1, 3:],
        "large": large,
        "four axes": 40 * random.random((5, 6, 7, 3), np.float32),
        "empty": np.empty((0, 3, 4), np.float32),
    }


@pytest.mark.parametrize("name", arrays())
@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_streams_equal_the_libraries_own_bytes(name, dtype):
    data = arrays()[name]
    image = nibabel.Nifti1Image(np.asarray(data, dtype=dtype), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(AFFINE, code=1)
    image.set_qform(AFFINE, code=1)
    if data.size:  # nibabel cannot write an empty image
        assert b"".join(nifti_stream(data, AFFINE, dtype)) == image.to_bytes()
        packed = b"".join(gzip_stream(nifti_stream(data, AFFINE, dtype)))
        assert gzip.decompress(packed) == image.to_bytes()
        assert packed[4:8] == bytes(4)  # no time of writing
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(data, dtype=dtype))
    assert b"".join(npy_stream(data, dtype)) == file.getvalue()
