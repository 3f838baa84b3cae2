"""Shape and affine from the bytes of a header are those that nibabel finds; what is unusual is left to it."""

import nibabel
import numpy as np
import pytest

from bids_app.derivatives import nifti
from bids_app.derivatives.affines import affine_in_mm
from bids_app.derivatives.files import read_grid
from bids_app.derivatives.grids import common_grid

AFFINE = np.array([[0.9, 0.1, 0, -20], [-0.1, 1.1, 0.2, -30], [0, -0.2, 1.5, -10], [0, 0, 0, 1]])


def image(shape=(3, 4, 5), sform=1, qform=1, unit="mm", dtype=np.int16):
    made = nibabel.Nifti1Image(np.arange(np.prod(shape)).reshape(shape).astype(dtype), AFFINE)
    made.set_sform(AFFINE, sform)
    made.set_qform(AFFINE, qform)
    made.header.set_xyzt_units(unit)
    return made


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    "made", [image(), image((3, 4, 5, 2), 2, 0, dtype=np.float32), image(unit="micron"), image(unit="meter")]
)
def test_common_files_are_read_as_nibabel_does(made, ending, tmp_path):
    path = tmp_path / f"image{ending}"
    made.to_filename(path)
    shape, affine = common_grid(path)
    stored = nifti.load(path)
    assert shape == stored.shape
    np.testing.assert_array_equal(affine, affine_in_mm(stored))


def test_what_is_unusual_is_left_to_nibabel(tmp_path):
    big = nibabel.Nifti1Image(image().get_fdata().astype(">f4"), AFFINE, image().header.as_byteswapped(">"))
    second = nibabel.Nifti2Image(np.zeros((3, 4, 5), np.int16), AFFINE)
    for number, made in enumerate((image(sform=0), image((3, 4)), big, second)):
        path = tmp_path / f"{number}.nii.gz"
        made.to_filename(path)
        assert common_grid(path) is None
        assert read_grid(path)[0] == made.shape
        np.testing.assert_allclose(read_grid(path)[1], nibabel.load(path).affine)


@pytest.mark.parametrize(
    ("place", "content"), [(0, b"\0\0"), (40, b"\x03\0\0\0"), (70, b"\x07\0"), (108, b"\0\0\0\0"), (344, b"ni1\0")]
)
def test_a_damaged_header_gives_no_grid(place, content, tmp_path):
    whole = image().to_bytes()
    path = tmp_path / "image.nii"
    path.write_bytes(whole[:place] + content + whole[place + len(content) :])
    assert common_grid(path) is None


def test_files_that_are_cut_or_not_there_give_no_grid(tmp_path):
    path = tmp_path / "image.nii.gz"
    assert common_grid(path) is None
    image().to_filename(path)
    path.write_bytes(path.read_bytes()[:40])
    assert common_grid(path) is None
    path.write_bytes(b"no image")
    assert common_grid(path) is None
