"""Estimates of memory follow the size of the images."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_app.model.records import Anatomical, Echo, GreRun
from bids_app.model.settings import Settings, build_settings
from bids_app.steps import PARTICIPANT
from bids_app.steps.participant.common import grid_of, memory, true_grid_of

SETTINGS = Settings()


def run_of(folder, shape, echoes, voxel=1.0):
    folder.mkdir(exist_ok=True)
    path = folder / f"{'x'.join(map(str, shape))}.nii"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([voxel, voxel, voxel, 1])), path)
    several = tuple(Echo(n, 0.005 * n, phase=path) for n in range(1, echoes + 1))
    return GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", several, 3.0)


def test_volumes_and_echoes_are_counted(tmp_path):
    small, large = run_of(tmp_path, (10, 10, 10), 2), run_of(tmp_path, (10, 10, 30), 6)
    estimate = memory(5, 3)
    assert estimate(large, SETTINGS) - memory(0)(large, SETTINGS) == 4 * 3000 * (5 + 6 * 3)
    assert estimate(small, SETTINGS) - memory(0)(small, SETTINGS) == 4 * 1000 * (5 + 2 * 3)
    slab, padded = run_of(tmp_path, (60, 60, 4), 2), memory(5, padding=lambda settings: 20.0)
    assert padded(slab, SETTINGS) > 2 * memory(5)(slab, SETTINGS) - memory(0)(
        slab, SETTINGS
    )  # 4 slices work on a multiple of them
    t1w = Anatomical(small.echoes[0].phase, "01", None, (("sub", "01"),))
    assert memory(5)(t1w, SETTINGS) - memory(0)(t1w, SETTINGS) == 4 * 1000 * 5


@pytest.mark.parametrize("step", PARTICIPANT, ids=lambda step: step.name)
def test_every_step_over_a_run_has_an_estimate_that_grows(step, tmp_path):
    small, large = (replace(run_of(tmp_path, (n, n, n), 2), coils=2) for n in (10, 40))
    assert step.memory(large, SETTINGS) > step.memory(small, SETTINGS)


def test_an_animal_is_computed_with_the_lengths_of_a_head(tmp_path):
    """The same object 20 times smaller: the same voxels of padding, the same estimate, true volumes in the report."""
    head, mouse = run_of(tmp_path, (64, 64, 64), 2), run_of(tmp_path / "small", (64, 64, 64), 2, 0.15)
    head_3mm = run_of(tmp_path / "head", (64, 64, 64), 2, 3.125)
    assert grid_of(mouse, (64, 64, 64)).voxel_size == pytest.approx(grid_of(head_3mm, (64, 64, 64)).voxel_size)
    assert true_grid_of(mouse, (64, 64, 64)).voxel_size == pytest.approx((0.15, 0.15, 0.15))
    assert grid_of(head_3mm, (64, 64, 64)) == true_grid_of(head_3mm, (64, 64, 64))
    estimate = memory(40, padding=lambda settings: 20.0)
    assert estimate(mouse, SETTINGS) == estimate(head_3mm, SETTINGS) == estimate(head, SETTINGS)


@pytest.mark.parametrize(("section", "method"), [("inversion", "bayes"), ("inversion", "tv"), ("background", "pdf")])
def test_padding_of_the_settings_counts(tmp_path, section, method):
    """A thin slab with much padding works on a multiple of its own grid."""
    slab = run_of(tmp_path, (60, 60, 4), 2)
    (step,) = [step for step in PARTICIPANT if step.name == section]
    little, much = (
        build_settings({section: {"method": method, method: {"padding": padding}}}) for padding in (0.0, 100.0)
    )
    assert step.memory(slab, much) - memory(0)(slab, much) > 5 * (step.memory(slab, little) - memory(0)(slab, little))
