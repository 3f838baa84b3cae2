"""Images are written to the same bytes and read by fast gzip, and a damaged one is told in one sentence."""

import gzip

import nibabel
import numpy as np
import pytest

from bids_app.derivatives.files import read_image, read_mask, read_volumes, write_image
from bids_app.errors import QsmAppError

AFFINE = np.array([[-1.5, 0, 0.2, 10], [0, 1.2, 0.1, -20], [0.1, 0, 2, 5], [0, 0, 0, 1]])


def volume():
    return np.random.default_rng(3).normal(size=(21, 22, 23)).astype(np.float32)


def test_what_is_written_is_read_again_here_and_by_others(tmp_path):
    path, data = tmp_path / "map.nii.gz", volume()
    write_image(path, data, AFFINE, "float32")
    values, affine = read_image(path)
    np.testing.assert_array_equal(values, data)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-6)
    other = nibabel.Nifti1Image.from_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(np.asarray(other.dataobj), data)
    again = tmp_path / "again.nii.gz"
    write_image(again, data, AFFINE, "float32")
    assert again.read_bytes() == path.read_bytes()


def test_scaled_integers_and_several_members_of_gzip_are_read(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_slope_inter(0.5, -3)
    content, path = image.to_bytes(), tmp_path / "scaled.nii.gz"
    image = nibabel.Nifti1Image.from_bytes(content)
    path.write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    expected = np.asarray(image.dataobj)
    np.testing.assert_array_equal(read_image(path)[0], expected.astype(np.float32))
    np.testing.assert_array_equal(read_mask(path), expected > 0)
    plain = tmp_path / "scaled.nii"
    plain.write_bytes(content)
    np.testing.assert_array_equal(read_image(plain)[0], read_image(path)[0])


def test_freesurfers_volumes_are_read(tmp_path):
    path, data = tmp_path / "seg.mgz", (volume() * 100).astype(np.int32)
    nibabel.save(nibabel.MGHImage(data, AFFINE), path)
    values, affine = read_image(path)
    np.testing.assert_array_equal(values, data)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-4)


DAMAGE = {
    "short": lambda content: content[:-3000],
    "half": lambda content: content[: len(content) // 2],
    "other byte": lambda content: content[:5000] + bytes([content[5000] ^ 255]) + content[5001:],
    "zeros": lambda content: content[:9000] + bytes(3000) + content[12000:],
    "no deflate": lambda content: content[:10] + b"\xff" * (len(content) - 10),
    "no gzip": lambda content: b"not an image" * 100,
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_image_is_told(tmp_path, kind):
    path = tmp_path / "map.nii.gz"
    write_image(path, volume(), AFFINE, "float32")
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    with pytest.raises(QsmAppError, match=r"map\.nii\.gz cannot be read, it is damaged .*; copy it again"):
        read_image(path)


@pytest.mark.parametrize("name", ["coils.nii", "coils.nii.gz"])
def test_volumes_come_one_after_the_other_as_the_whole_image_has_them(tmp_path, name):
    image = nibabel.Nifti1Image(np.arange(180, dtype=">i2").reshape(3, 4, 5, 3), AFFINE)
    image.header.set_slope_inter(0.25, -7)
    nibabel.save(image, tmp_path / name)
    whole = read_image(tmp_path / name)[0]
    volumes = list(read_volumes(tmp_path / name))
    assert all(volume.flags.c_contiguous and volume.dtype == np.float32 for volume in volumes)
    np.testing.assert_array_equal(np.stack(volumes, axis=-1), whole)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-60])
    with pytest.raises(QsmAppError, match="damaged"):
        list(read_volumes(tmp_path / name))
