"""Parts of the object that a mask discards are reported; what is discarded on purpose is not."""

import numpy as np
import pytest

from bids_app.errors import ParameterError
from bids_app.qsm.mask.make import make_mask
from bids_app.qsm.mask.recipe import parse_recipe
from bids_app.steps.participant.empty_slices import empty_slices
from bids_app.steps.participant.mask import _discarded

RECIPE = "quality,threshold:0.5,largest"


def grids():
    return np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 40, 40)], indexing="ij")


def shares(quality):
    shares = []
    make_mask(RECIPE, quality=quality.astype(np.float32), discarded=shares)
    return shares


def test_halves_of_an_interrupted_object():
    x, y, z = grids()
    ball = x**2 + y**2 + z**2 < 0.6
    ball[:, :, 21:24] = False
    (share,) = shares(ball)
    assert 0.5 < share < 1
    assert "were discarded" in next(_discarded([share]))


def test_a_small_piece_of_tissue():
    x, y, z = grids()
    ball = (x**2 + y**2 + z**2 < 0.25) | ((x - 0.7) ** 2 + y**2 + z**2 < 0.0225)
    assert len(shares(ball)) == 1


def test_scalp_neck_and_a_whole_object_are_no_loss():
    x, y, z = grids()
    r = x**2 + y**2 + z**2
    scalp, neck = (r > 0.7) & (r < 0.8) & (z > 0), (x**2 + y**2 < 0.03) & (z < -0.8)
    assert shares((r < 0.5) | scalp) == shares((r < 0.5) | neck) == shares(r < 0.5) == []
    assert list(_discarded([])) == []


def test_empty_slices_between_others():
    x, y, z = grids()
    magnitude = np.where(x**2 + y**2 + z**2 < 0.6, 1.0, 0.0)
    assert list(empty_slices(magnitude)) == []
    magnitude[:, :, [15, 20]] = 0
    (sentence,) = empty_slices(magnitude)
    assert "2 slices along k are empty (15, 20)" in sentence
    assert next(empty_slices(magnitude, "magnitude of echo 2: ")).startswith("magnitude of echo 2: 2 slices")
    assert list(empty_slices(np.zeros((3, 3, 3)))) == []


@pytest.mark.parametrize(
    "operation", ["otsu:nan", "otsu:inf", "otsu:-1", "percentile:200", "percentile:-1", "threshold:nan"]
)
@pytest.mark.parametrize("then", ["", ",open:1"])
def test_thresholds_out_of_range(operation, then):
    with pytest.raises(ParameterError, match="is not between"):
        parse_recipe(f"quality,{operation}{then}")


@pytest.mark.parametrize("operation", ["open:nan", "erode:-1", "dilate:1e9", "fill:27", "smooth:1:2", "close:inf"])
def test_operations_out_of_range(operation):
    with pytest.raises(ParameterError, match="is not between"):
        parse_recipe(f"quality,otsu:1,{operation}")


def test_voxels_are_whole():
    with pytest.raises(ParameterError, match="no whole number"):
        parse_recipe("quality,otsu:1,erode:1.5")
