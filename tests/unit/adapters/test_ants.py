"""ANTs in its own process: small images, same bytes again, and failures in one sentence."""

import json
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters import ants
from bids_app.errors import QsmAppError

AFFINE = np.diag([4.0, 4, 4, 1])


def save(path, data, affine=AFFINE):
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def head(shift=(0, 0, 0)):
    x, y, z = (np.indices((28, 30, 26)).T * 4.0 - (52, 56, 48) - np.asarray(shift)).T
    inside = (x / 40) ** 2 + (y / 46) ** 2 + (z / 36) ** 2 < 1
    return (inside * (100 + 20 * np.sin(x / 9) + 20 * np.sin(y / 8 + z / 11))).astype(np.float32)


def test_rigid_finds_a_shift_and_repeats_bit_by_bit(tmp_path):
    fixed = save(tmp_path / "fixed.nii.gz", head())
    moving = save(tmp_path / "moving.nii.gz", 300 - head((6, -5, 4)) * (head((6, -5, 4)) > 0))  # inverted contrast
    transforms = []
    for number in range(2):
        out = tmp_path / f"{number}.txt"
        ants.linear(fixed, moving, out, tmp_path / "work", ants.Linear("rigid", 4.0))
        transforms.append(out.read_bytes())
    assert transforms[0] == transforms[1]
    line = next(line for line in transforms[0].decode().splitlines() if line.startswith("Parameters"))
    # ITK counts x and y the other way round; the transform takes points of the fixed image to the moving one.
    moved = np.array(line.split()[10:13], float)
    centre = np.array([float(v) for v in transforms[0].decode().splitlines()[-1].split()[1:4]])
    matrix = np.array(line.split()[1:10], float).reshape(3, 3)
    shift = matrix @ (0 - centre) + moved + centre
    assert np.allclose(shift * (-1, -1, 1), (6, -5, 4), atol=1.5)


def test_a_bias_field_is_removed_from_every_voxel(tmp_path):
    """The field is fitted to one voxel in eight, and has to reach the others and the image's edge."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in (27, 30, 26)), indexing="ij")
    tissue = np.where(head()[:27] > 0, np.float32(80) + 40 * (head()[:27] > 100), np.float32(0))
    bias = np.exp(0.4 * x + 0.3 * y * y).astype(np.float32)
    image = save(tmp_path / "image.nii.gz", tissue * bias)
    mask = save(tmp_path / "mask.nii.gz", (tissue > 0).astype(np.uint8))
    ants.n4(image, mask, tmp_path / "out.nii.gz", tmp_path / "work", 1)
    field = tissue * bias / np.maximum(nib.load(tmp_path / "out.nii.gz").get_fdata(), 1e-6)
    left = np.log(bias / np.maximum(field, 1e-6))[tissue > 0]
    assert left.std() < 0.3 * np.log(bias[tissue > 0]).std()
    every = np.log(field[:, 15, 13][tissue[:, 15, 13] > 0])
    assert np.abs(np.diff(every, 2)).max() < 0.02  # no steps between the voxels of the fit


def test_labels_stay_labels(tmp_path):
    labels = np.zeros((28, 30, 26), np.int16)
    labels[8:16, 8:16, 8:16], labels[16:22, 8:16, 8:16] = 7, 2035
    image = save(tmp_path / "labels.nii.gz", labels)
    fine = np.diag([2.0, 2, 2, 1])
    fine[:3, 3] = 0.5
    like = save(tmp_path / "like.nii.gz", np.zeros((56, 60, 52), np.float32), fine)
    ants.apply(like, image, [], tmp_path / "out.nii.gz", tmp_path / "work", 1, labels=True)
    moved = nib.load(tmp_path / "out.nii.gz").get_fdata()
    assert set(np.unique(moved)) == {0, 7, 2035}
    assert (moved == 7).sum() * 8 == pytest.approx((labels == 7).sum() * 64, rel=0.1)


def test_a_failure_is_one_sentence(tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"nothing")
    with pytest.raises(QsmAppError, match=r"ANTs \(apply\) failed with exit code"):
        ants.apply(broken, broken, [], tmp_path / "out.nii.gz", tmp_path / "work", 1)


def test_syn_in_the_box_of_a_region_leaves_the_linear_transform_elsewhere(tmp_path):
    fixed = save(tmp_path / "fixed.nii.gz", head())
    moving = save(tmp_path / "moving.nii.gz", head((3, 0, 0)))
    region = np.zeros((28, 30, 26), np.uint8)
    region[12:16, 13:17, 11:15] = 1
    box = save(tmp_path / "region.nii.gz", region)
    initial, out = tmp_path / "initial.txt", tmp_path / "warp.nii.gz"
    ants.linear(fixed, moving, initial, tmp_path / "work", ants.Linear("rigid", 4.0))
    ants.syn(fixed, moving, initial, out, tmp_path / "work", 1, ants.Syn(4.0, (0, 0, 4)), region=[box])
    linear_alone = tmp_path / "linear.nii.gz"
    ants.syn(fixed, moving, initial, linear_alone, tmp_path / "work", 1, ants.Syn(4.0, (0, 0, 0)))
    change = np.abs(np.squeeze(nib.load(out).get_fdata() - nib.load(linear_alone).get_fdata())).max(axis=-1)
    assert change.shape == region.shape
    assert change[10:18, 11:19, 9:17].max() > 1e-3
    change[8:20, 9:21, 7:19] = 0
    assert change.max() < 1e-4


def python(code, *words):
    environment = os.environ | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}  # mutual information repeats so
    line = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=False)


QUICK = "import sys; from bids_app.adapters import ants_import, ants_jobs; {}; ants_jobs.main(sys.argv[1])"
REFUSED = "ants_import.import_light = lambda: exec('raise ants_import.LeftOutError')"


def test_a_job_that_needs_what_is_left_out_begins_again_with_all_of_it(tmp_path):
    fixed, moving = save(tmp_path / "fixed.nii.gz", head()), save(tmp_path / "moving.nii.gz", head((6, -5, 4)))
    transforms = []
    for name, change in (("quick", "pass"), ("whole", REFUSED)):
        order, out = tmp_path / f"{name}.json", tmp_path / f"{name}.txt"
        words = {"fixed": fixed, "moving": moving, "out": out, "start": "headers"}
        words = {key: str(value) for key, value in words.items()} | {"kind": "rigid", "resolution": 4.0, "seed": 1}
        order.write_text(json.dumps({"job": "linear", "arguments": words, "answer": f"{out}.answer"}))
        done = python(QUICK.format(change), order)
        assert done.returncode == 0, done.stderr
        assert out.with_name(f"{out.name}.answer").exists()
        transforms.append(out.read_bytes())
    assert transforms[0] == transforms[1], "what is left out must not change a result"


def test_what_is_left_out_raises_when_it_is_used():
    code = (
        "from bids_app.adapters import ants_import\n"
        "ants_import.import_light()\n"
        "import sys, scipy.stats\n"
        "assert 'scipy._lib' not in sys.modules\n"
        "try: scipy.stats.rankdata([1])\n"
        "except ants_import.LeftOutError as error: print(error)"
    )
    done = python(code)
    assert done.stdout.strip() == "scipy.stats.rankdata", done.stderr
