"""Real data for the unit tests of the numerics."""

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def real_echoes():
    """Return magnitude and phase (rad) of a real head scan, echoes first."""
    import nibabel as nib

    from bids_app.qsm.phase.scaling import to_radians

    root = Path(os.environ.get("QSM_TEST_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
    if not (root / "gre-small").is_dir():
        pytest.skip("the real test data is not here ($QSM_TEST_DATA or ../shared/data)")
    stacks = []
    for name in ("Mag.nii", "Phase.nii"):
        data = np.asarray(nib.load(root / "gre-small" / name).dataobj, np.float32)
        stacks.append(np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    return stacks[0], to_radians(stacks[1]).phase


@pytest.fixture
def real_phase(real_echoes):
    """Return magnitude and phase (rad) of its first echo."""
    return real_echoes[0][0], real_echoes[1][0]
