"""Headers that do not say where the image lies, or say two things: refused unless B0_dir is given."""

import nibabel as nib
import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.images import look_at
from bids_app.dataset.query import find_subjects
from bids_app.derivatives.files import read_grid, read_image
from tests.unit.dataset.conftest import PLACE

TURN = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])


def problems(dataset):
    return preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")


def rewrite(dataset, edit, pattern="*MEGRE.nii.gz"):
    for path in sorted(dataset.root.rglob(pattern)):
        image = nib.load(path)
        copy = nib.Nifti1Image(np.asarray(image.dataobj), None, image.header)
        copy.header["pixdim"][1:4] = (2, 2, 4)
        copy.header.set_qform(PLACE @ np.diag([2, 2, 4, 1]), 1)
        copy.header.set_sform(PLACE @ np.diag([2, 2, 4, 1]), 1)
        edit(copy)
        copy.to_filename(path)


def no_forms(image):
    image.header["qform_code"] = image.header["sform_code"] = 0


def identity_beside_real_sizes(image):
    image.header["qform_code"] = 0
    for row, values in zip(("srow_x", "srow_y", "srow_z"), np.eye(4), strict=False):
        image.header[row] = values


def default_of_a_library(image):
    identity_beside_real_sizes(image)
    image.header["pixdim"][1:4] = 1


def two_orientations(image):
    image.header.set_sform(TURN @ image.header.get_sform(), 1)


def sheared(image):
    affine = PLACE @ np.diag([2, 2, 4, 1])
    affine[0, 1] = 0.2
    image.header["qform_code"] = 0
    image.header.set_sform(affine, 1)
    image.header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)


def no_voxel_size(image):
    image.header["pixdim"][3] = 0


def metres_called_millimetres(image):
    affine = PLACE @ np.diag([2e-3, 2e-3, 4e-3, 1])
    image.header.set_sform(affine, 1)
    image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = (2e-3, 2e-3, 4e-3)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (no_forms, "neither qform nor sform"),
        (two_orientations, "qform and sform disagree by 90 degrees"),
        (default_of_a_library, "its affine is the identity"),
    ],
)
def test_unknown_direction_of_the_main_field_is_refused_unless_it_is_given(dataset, edit, says):
    dataset.megre("sub-01")
    rewrite(dataset, edit)
    (problem,) = problems(dataset)
    assert says in problem and "set B0_dir" in problem and "echo-1" in problem and "3 more" in problem
    dataset.megre("sub-01", B0_dir=[1, 0, 0])
    rewrite(dataset, edit)
    assert problems(dataset) == []
    (run,) = find_subjects(dataset.root)[0].runs
    assert says in " ".join(remarks(run)) and "B0_dir of the sidecar is used" in " ".join(remarks(run))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (identity_beside_real_sizes, "its affine gives voxels of 1 x 1 x 1 mm, its pixdim 2 x 2 x 4 mm"),
        (sheared, "sheared by"),
        (no_voxel_size, "pixdim gives voxels of 2 x 2 x 0 mm"),
        (metres_called_millimetres, "voxels of 0.002 x 0.002 x 0.004 mm; correct the unit"),
    ],
)
def test_a_grid_that_contradicts_itself_is_refused_whatever_the_sidecar_says(dataset, edit, says):
    dataset.megre("sub-01", B0_dir=[0, 0, 1])
    rewrite(dataset, edit)
    listed = problems(dataset)
    assert len(listed) == 4 and all(says in problem for problem in listed), listed


@pytest.mark.parametrize(("unit", "length"), [("meter", 1e-3), ("mm", 1.0), ("micron", 1e3)])
def test_units_of_the_header_are_converted_to_millimetres(tmp_path, unit, length):
    affine = PLACE @ np.diag([2, 2, 4, 1])
    scaled = affine.copy()
    scaled[:3] *= length
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), scaled)
    image.header.set_xyzt_units(unit)
    path = tmp_path / "a.nii.gz"
    image.to_filename(path)
    state = look_at(path, is_phase=False)
    assert state.problem == "" and state.orientation.unknown == ""
    for stated in (state.affine, read_grid(path)[1], read_image(path)[1]):
        np.testing.assert_allclose(stated, affine, rtol=1e-5)


def test_a_scripts_affine_is_mentioned(dataset):
    dataset.megre("sub-01")
    rewrite(
        dataset, lambda image: (image.set_qform(np.diag([2, 2, 4, 1]), 1), image.set_sform(np.diag([2, 2, 4, 1]), 1))
    )
    assert problems(dataset) == []
    (run,) = find_subjects(dataset.root)[0].runs
    assert "neither rotation nor origin" in " ".join(remarks(run))


def test_t1w_without_orientation_or_elsewhere(dataset):
    dataset.megre("sub-01")
    dataset.image("sub-01_T1w")
    assert problems(dataset) == []
    away = PLACE.copy()
    away[:3, 3] += 500
    dataset.image("sub-01_T1w", affine=away)
    (run,) = find_subjects(dataset.root)[0].runs
    assert "lies outside sub-01_T1w.nii.gz" in " ".join(remarks(run))
    rewrite(dataset, no_forms, "*T1w.nii.gz")
    (problem,) = problems(dataset)
    assert "sub-01_T1w.nii.gz: has neither qform nor sform" in problem and "--bids-filter-file" in problem


@pytest.mark.parametrize("value", [[1e-300, 0, 0], [1e300, 0, 0], [0, 0, 0], ["a", 0, 1], [0, 1], [float("nan"), 0, 1]])
def test_b0_dir_out_of_range_is_refused(dataset, value):
    dataset.megre("sub-01", B0_dir=value)
    (problem,) = problems(dataset)
    assert "B0_dir is" in problem and "between 0.001 and 1000" in problem


def test_echoes_with_different_b0_dir_are_refused(dataset):
    dataset.megre("sub-01", B0_dir=[0, 0, 1])
    dataset.image("sub-01_echo-2_part-phase_MEGRE", EchoTime=0.01, B0_dir=[0, 1, 0])
    (problem,) = problems(dataset)
    assert "different B0_dir" in problem
