"""Real scans of three vendors: the brain mask of a head, and bodies that stay what they are."""

import json

import numpy as np
import pytest

from bids_app import qsm
from bids_app.dataset.query import find_subjects
from bids_app.derivatives.files import read_grid
from bids_app.model.step import StepInput
from bids_app.qsm.mask.head import extract_brain
from bids_app.qsm.mask.recipe import OBJECT_RECIPE
from bids_app.qsm.quality.masks import mask_shape
from bids_app.steps.participant.load import load_echoes

pytestmark = pytest.mark.real_data


@pytest.fixture
def scan(real_data, tmp_path):
    """Return the field of a participant of the real scans, and its grid."""
    if not (real_data / "real-bids").is_dir():
        pytest.skip("the real scans are not here ($QSM_TEST_DATA or ../shared/data)")

    def of(label):
        (subject,) = [s for s in find_subjects(real_data / "real-bids") if s.label.removeprefix("sub-") == label]
        (run,) = subject.runs
        magnitude, phase, _ = load_echoes(StepInput(run, None, {}, tmp_path, 1))
        grid = qsm.Grid.from_affine(phase.shape[1:], read_grid(run.echoes[0].phase)[1])
        sidecar = json.loads(
            run.echoes[0].phase.with_name(run.echoes[0].phase.name.replace(".nii.gz", ".json")).read_text()
        )
        known = qsm.Acquisition.from_sidecars([sidecar])
        return qsm.total_field(phase, magnitude, run.echo_times, grid, acquisition=known), grid

    return of


def masks(field, grid, **options):
    chosen = qsm.MaskChoices(two_pass=False, **options)
    maps = {"quality": field.quality, "magnitude": field.magnitude, "residual": field.residual}
    return qsm.make_masks(field.sd, grid, **maps, options=chosen)


def test_the_mask_of_a_head_is_its_brain(scan):
    field, grid = scan("philipshead")
    result = masks(field, grid)
    shape = mask_shape(result.brain, grid.voxel_size)
    assert result.warnings == ()
    assert 1400 < shape.volume_ml < 1650
    assert shape.pieces == 1
    assert shape.roughness < 0.1
    whole = mask_shape(masks(field, grid, filled=OBJECT_RECIPE).brain, grid.voxel_size)
    assert whole.volume_ml > 2200  # muscle, orbits and scalp have coherent phase too
    assert whole.roughness > 0.2
    # Eyes and the muscle of the temple lie outside, the vertex and the cerebellum inside.
    for outside in ((28, 60, 21), (50, 63, 21), (17, 56, 12), (63, 56, 12), (43, 13, 5)):
        assert not result.brain[outside]
    for inside in ((39, 36, 50), (33, 23, 10), (39, 30, 10), (30, 46, 17), (24, 28, 17), (53, 24, 17)):
        assert result.brain[inside]


@pytest.mark.parametrize("label", ["geabdomen", "siemensabdomen"])
def test_a_body_is_no_head_and_stays_whole(scan, label):
    field, grid = scan(label)
    assert not extract_brain(field.magnitude, field.quality, grid.voxel_size).is_head
    result = masks(field, grid)
    assert "no brain surface was found" in result.warnings[0]
    np.testing.assert_array_equal(result.brain, masks(field, grid, filled=OBJECT_RECIPE).brain)


def test_sign_and_half_turns_of_ge_phase(scan):
    """The kidneys have 35.5 and 34.5 Hz on the scanner's own field map."""
    field, _ = scan("geabdomen")
    assert any("alternated" in text for text in field.warnings)
    left, right = (field.total[box] for box in (np.s_[66:80, 85:125, 9:12], np.s_[155:175, 115:155, 9:12]))
    both = np.concatenate([left.ravel(), right.ravel()])
    assert np.median(both) == pytest.approx(35, abs=8)
    assert abs(np.median(left) - np.median(right)) < 40
