"""Masks and maps of other datasets, and field maps of the dataset: what is taken, and what is refused."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.options import USES as OPTION_USES
from bids_app.dataset.checks import preflight, without_magnitudes_alone
from bids_app.dataset.derived import USES, given_units, with_given, with_given_maps, with_given_mask
from bids_app.dataset.query import find_subjects
from bids_app.dataset.subjects import selected_subjects
from bids_app.model.records import Anatomical, GivenMask
from tests.unit.dataset.conftest import PLACE

GRID = (3, 4, 5)


def image(path, shape=GRID, affine=PLACE, **sidecar):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(1 + np.arange(np.prod(shape), dtype=np.float32).reshape(shape), affine), path)
    if sidecar:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar))
    return path


@pytest.fixture
def run(dataset):
    dataset.megre("sub-01")
    return find_subjects(dataset.root)[0].runs[0]


@pytest.fixture
def other(tmp_path):
    return tmp_path / "other"


def with_t1w(run):
    return replace(run, t1w=Anatomical(run.echoes[0].phase, "01", None, (("sub", "01"),)))


def test_the_option_names_what_can_be_used():
    assert OPTION_USES == USES


def test_an_fmriprep_mask_comes_through_the_t1w_image(run, other):
    path = image(other / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", (8, 8, 8))
    with_mask = with_given_mask(with_t1w(run), [other])
    assert with_mask.given_mask == GivenMask(path, "t1w")
    assert "by the registration of the T1w image" in with_mask.remarks[-1]
    with_mask = with_given_mask(run, [other])
    assert with_mask.given_mask == GivenMask(path, "headers")
    assert "there is no T1w image" in with_mask.remarks[-1]


def test_a_mask_on_the_grid_of_the_run_comes_first(run, other):
    image(other / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", (8, 8, 8))
    path = image(other / "sub-01/anat/sub-01_mask.nii.gz")
    assert with_given_mask(with_t1w(run), [other]).given_mask == GivenMask(path)
    path = image(other / "sub-01/anat/sub-01_desc-manual_mask.nii.gz", (7, 7, 7))
    assert with_given_mask(with_t1w(run), [other], "manual").given_mask == GivenMask(path, "t1w")


@pytest.mark.parametrize(
    "name",
    [
        "anat/sub-01_space-MNI152NLin2009cAsym_desc-brain_mask",
        "func/sub-01_task-rest_space-T1w_desc-brain_mask",
        "anat/sub-01_desc-lesion_mask",
        "anat/sub-01_label-GM_mask",
    ],
)
def test_masks_of_other_spaces_and_things_are_left(name, run, other):
    image(other / f"sub-01/{name}.nii.gz", (8, 8, 8))
    assert with_given_mask(with_t1w(run), [other]).given_mask is None


def test_a_mask_of_all_sessions_serves_each_of_them(dataset, other):
    dataset.megre("sub-01_ses-1")
    (run,) = find_subjects(dataset.root)[0].runs
    path = image(other / "sub-01/anat/sub-01_desc-brain_mask.nii.gz", (8, 8, 8))
    image(other / "sub-01/ses-2/anat/sub-01_ses-2_desc-brain_mask.nii.gz", (8, 8, 8))
    assert with_given_mask(with_t1w(run), [other]).given_mask == GivenMask(path, "t1w")


@pytest.mark.parametrize(
    ("t1w", "name", "used"),
    [
        ("sub-01_acq-mprage_run-1", "sub-01/anat/sub-01_acq-mprage_run-1_desc-brain_mask", True),
        ("sub-01_acq-mprage_run-1", "sub-01/anat/sub-01_acq-mprage_run-2_desc-brain_mask", False),
        ("sub-01_ses-2_acq-mprage", "sub-01/ses-2/anat/sub-01_ses-2_acq-mprage_desc-brain_mask", True),
        ("sub-01_ses-2", "sub-01/ses-3/anat/sub-01_ses-3_desc-brain_mask", False),
        ("sub-01_acq-mprage", "sub-01/anat/sub-01_acq-mprage_label-GM_mask", False),
    ],
)
def test_a_mask_belongs_to_a_run_by_the_entities_of_its_t1w_image(t1w, name, used, dataset, other):
    dataset.megre("sub-01_acq-qsm")
    (run,) = find_subjects(dataset.root)[0].runs
    entities = tuple(tuple(part.split("-")) for part in t1w.split("_"))
    image_of_head = Anatomical(run.echoes[0].phase, "01", dict(entities).get("ses"), entities)
    path = image(other / f"{name}.nii.gz", (8, 8, 8))
    with_mask = with_given_mask(replace(run, t1w=image_of_head), [other])
    assert with_mask.given_mask == (GivenMask(path, "t1w") if used else None)
    assert with_given_mask(run, [other]).given_mask is None


@pytest.mark.parametrize("inside", ["", "sourcedata/freesurfer/"])
def test_freesurfer_masks_are_found(inside, run, other):
    path = other / f"{inside}sub-01/mri/brainmask.mgz"
    path.parent.mkdir(parents=True)
    nib.save(nib.MGHImage(np.ones((9, 9, 9), np.uint8), np.diag([1.0, 1, 1, 1])), path)
    assert with_given_mask(with_t1w(run), [other]).given_mask == GivenMask(path, "t1w")


@pytest.mark.parametrize(
    ("name", "units", "product"),
    [
        ("fmap/sub-01_fieldmap", "rad/s", "total_field"),
        ("fmap/sub-01_desc-total_fieldmap", "T", "total_field"),
        ("fmap/sub-01_desc-local_fieldmap", "ppm", "local_field"),
        ("anat/sub-01_Chimap", "ppb", "chimap"),
        ("anat/sub-01_R2starmap", "hz", "r2star"),
    ],
)
def test_maps_are_taken_with_their_unit(name, units, product, run, other):
    image(other / f"sub-01/{name}.nii.gz", Units=units)
    with_maps = with_given_maps(run, [other])
    (given,) = with_maps.given_maps
    assert (given.product, given.units.lower()) == (product, units.lower())
    assert list(given_units(with_maps)) == []
    assert with_maps.starts_from_phase == (product == "r2star")
    assert any("is used as the" in remark for remark in with_maps.remarks)


@pytest.mark.parametrize(("sidecar", "says"), [({}, 'there is no "Units"'), ({"Units": "furlong"}, "'furlong'")])
def test_a_wrong_or_missing_unit_is_one_sentence(sidecar, says, run, other):
    image(other / "sub-01/anat/sub-01_Chimap.nii.gz", **sidecar)
    (problem,) = given_units(with_given_maps(run, [other]))
    assert says in problem
    assert "ppm, ppb" in problem


def test_only_what_is_wanted_is_used(run, other, tmp_path):
    image(other / "sub-01/anat/sub-01_Chimap.nii.gz", Units="ppm")
    image(other / "sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    with_given_files = with_given(run, [other], tmp_path / "out", ["mask"])
    assert with_given_files.given_mask is not None
    assert with_given_files.given_maps == ()
    # What the command made itself is no input of it, a corrected mask is.
    with_given_files = with_given(run, [other], other)
    assert with_given_files.given_mask is not None
    assert with_given_files.given_maps == ()


def subjects_of(dataset):
    return without_magnitudes_alone(selected_subjects(dataset.root, (), (), {}, False))[0]


def field_map(dataset, label="01", shape=GRID, magnitude=True, **sidecar):
    folder = dataset.root / f"sub-{label}/fmap"
    image(folder / f"sub-{label}_fieldmap.nii.gz", shape, **({"Units": "Hz", "MagneticFieldStrength": 3} | sidecar))
    if magnitude:
        image(folder / f"sub-{label}_magnitude.nii.gz", shape)


def problems(dataset):
    return preflight(subjects_of(dataset), dataset.root, dataset.root.parent / "out")


def test_a_field_map_of_the_dataset_is_a_run(dataset):
    field_map(dataset)
    ((run,),) = (subject.runs for subject in subjects_of(dataset))
    assert run.given("total_field").units == "Hz"
    assert run.basename == "sub-01"
    assert not run.starts_from_phase
    assert problems(dataset) == []


@pytest.mark.parametrize(("maker", "period"), [("GE", 1 / 0.0023), ("Philips", 0.0)])
def test_period_of_a_field_map(maker, period, dataset):
    """GE's scanners compute a field map from two echoes and do not unwrap it."""
    field_map(dataset, Manufacturer=maker, EchoTime1=0.0046, EchoTime2=0.0069)
    ((run,),) = (subject.runs for subject in subjects_of(dataset))
    assert run.given("total_field").period_hz == pytest.approx(period)


def test_a_field_map_beside_a_phase_is_none(dataset):
    dataset.megre("sub-01")
    field_map(dataset)
    ((run,),) = (subject.runs for subject in subjects_of(dataset))
    assert run.suffix == "MEGRE"
    assert run.given_maps == ()


@pytest.mark.parametrize("field", ["IntendedFor", "B0FieldIdentifier"])
def test_a_field_map_of_functional_images_is_left_alone(field, dataset):
    field_map(dataset, **{field: "func/sub-01_task-rest_bold.nii.gz"})
    assert [run for subject in subjects_of(dataset) for run in subject.runs] == []


def test_a_selection_of_gradient_echoes_takes_no_field_map(dataset):
    field_map(dataset)
    filters = {"gre": {"acquisition": "qsm"}}
    assert [s.runs for s in selected_subjects(dataset.root, (), (), filters, False)] == [()]


def test_a_field_map_on_the_grid_of_magnitudes_is_their_field(dataset):
    dataset.megre("sub-01", parts=("mag",))
    field_map(dataset)
    ((run,),) = (subject.runs for subject in subjects_of(dataset))
    assert run.suffix == "MEGRE"
    assert run.echo_times == (0.005, 0.01)
    assert run.given("total_field").path.name == "sub-01_fieldmap.nii.gz"
    assert problems(dataset) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Units": "m"}, "\"Units\" is 'm'"),
        ({"magnitude": False}, "sub-01_magnitude.nii.gz: is not there"),
        ({"MagneticFieldStrength": None}, "MagneticFieldStrength is None"),
    ],
)
def test_what_a_field_map_lacks_is_named(change, says, dataset):
    field_map(dataset, **change)
    assert any(says in problem for problem in problems(dataset))


def test_a_magnitude_elsewhere_is_refused(dataset):
    field_map(dataset)
    image(dataset.root / "sub-01/fmap/sub-01_magnitude.nii.gz", (3, 4, 6))
    assert any("does not lie on the grid of sub-01_magnitude.nii.gz" in problem for problem in problems(dataset))
