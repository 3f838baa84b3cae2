"""Estimates of memory follow the size of the images."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from bids_app.model.records import Anatomical, Echo, GreRun
from bids_app.steps import PARTICIPANT
from bids_app.steps.participant.common import memory


def run_of(folder, shape, echoes):
    path = folder / f"{'x'.join(map(str, shape))}.nii"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), path)
    several = tuple(Echo(n, 0.005 * n, phase=path) for n in range(1, echoes + 1))
    return GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", several, 3.0)


def test_volumes_and_echoes_are_counted(tmp_path):
    small, large = run_of(tmp_path, (10, 10, 10), 2), run_of(tmp_path, (10, 10, 30), 6)
    estimate = memory(5, 3)
    assert estimate(large, None) - memory(0)(large, None) == 4 * 3000 * (5 + 6 * 3)
    assert estimate(small, None) - memory(0)(small, None) == 4 * 1000 * (5 + 2 * 3)
    t1w = Anatomical(small.echoes[0].phase, "01", None, (("sub", "01"),))
    assert memory(5)(t1w, None) - memory(0)(t1w, None) == 4 * 1000 * 5


@pytest.mark.parametrize("step", PARTICIPANT, ids=lambda step: step.name)
def test_every_step_over_a_run_has_an_estimate_that_grows(step, tmp_path):
    small, large = (replace(run_of(tmp_path, (n, n, n), 2), coils=2) for n in (10, 40))
    assert step.memory(large, None) > step.memory(small, None)
