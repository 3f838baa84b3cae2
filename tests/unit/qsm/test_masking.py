"""Mask recipes."""

import numpy as np
import pytest

from bids_app.errors import ParameterError
from bids_app.qsm.masking import FILLED_RECIPE, RELIABLE_RECIPE, make_mask, otsu_threshold, parse_recipe


def ball_quality(seed=0):
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.arange(40) - 20] * 3, indexing="ij")
    ball = x**2 + y**2 + z**2 < 15**2
    quality = np.where(ball, 0.85, 0.2) + rng.normal(0, 0.05, ball.shape)
    hole = (x - 4) ** 2 + y**2 + z**2 < 9
    quality[hole] = 0.2
    return quality.astype(np.float32), ball, hole


def test_otsu_splits_two_classes():
    values = np.r_[np.full(500, 1.0), np.full(300, 5.0)] + np.random.default_rng(0).normal(0, 0.2, 800)
    assert 1.5 < otsu_threshold(values) < 4.5


def test_two_pass_recipes_find_the_object_with_and_without_its_hole():
    quality, ball, hole = ball_quality()
    filled = make_mask(FILLED_RECIPE, quality=quality)
    reliable = make_mask(RELIABLE_RECIPE, quality=quality)
    assert filled[hole].all()
    assert not reliable[hole].any()
    dice = 2 * (filled & ball).sum() / (filled.sum() + ball.sum())
    assert dice > 0.97


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("quality,otsy:1", "otsu"),
        ("qualty,otsu:1", "starts with a source"),
        ("quality,otsu", "takes 1 numbers"),
        ("quality,otsu:x", "no number"),
        ("quality,holes", "needs a threshold"),
        ("quality,otsu:1,otsu:1", "one threshold"),
    ],
)
def test_wrong_recipes_are_told(recipe, says):
    with pytest.raises(ParameterError, match=says):
        parse_recipe(recipe)


def test_magnitude_recipe_needs_a_magnitude():
    with pytest.raises(ValueError, match="magnitude"):
        make_mask("magnitude,otsu:1", quality=ball_quality()[0])


def test_an_object_that_fills_the_field_of_view_is_not_thresholded_away():
    quality = np.random.default_rng(0).normal(0.9, 0.03, (20, 20, 20)).astype(np.float32)
    assert make_mask("quality,otsu:1.3", quality=quality).mean() == 1
