"""Axes of images: nothing but exchanged and turned round."""

import itertools

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters.images import from_ras, to_ras, write_ras
from bids_app.errors import QsmAppError

DATA = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
BASE = np.array([[1.5, 0.1, 0, -7], [-0.1, 1.2, 0.2, 3], [0, -0.2, 0.9, 11], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_every_orientation_gives_the_same_array(order, signs):
    axes = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    image = nib.Nifti1Image(DATA, BASE).as_reoriented(axes)
    data, affine = to_ras(np.asarray(image.dataobj), image.affine)
    assert np.array_equal(data, DATA)
    assert np.allclose(affine, BASE)
    assert np.array_equal(from_ras(data, image.affine), np.asarray(image.dataobj))


def test_written_images_are_finite_and_3d(tmp_path):
    data = DATA.copy()
    data[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(data, BASE), tmp_path / "a.nii.gz")
    write_ras(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert np.isfinite(nib.load(tmp_path / "b.nii.gz").get_fdata()).all()
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 3, 2), np.float32), BASE), tmp_path / "c.nii.gz")
    with pytest.raises(QsmAppError, match="4 dimensions"):
        write_ras(tmp_path / "c.nii.gz", tmp_path / "d.nii.gz")
