"""Mask recipes."""

import numpy as np
import pytest

from bids_app.errors import ParameterError
from bids_app.qsm.mask.make import make_mask
from bids_app.qsm.mask.recipe import FILLED_RECIPE, RELIABLE_RECIPE, parse_recipe
from bids_app.qsm.mask.support import signal_support
from bids_app.qsm.mask.thresholds import gaussian_threshold, otsu_threshold
from bids_app.qsm.unwrap.romeo import romeo_quality


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
    filled = make_mask(FILLED_RECIPE, quality=quality, reliability=np.ones_like(quality))
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


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ("given,otsu:1", "no threshold"),
        ("quality,even:10,otsu:1", "only the magnitude"),
        ("quality,otsu:1 & nothing", "starts with a source"),
        ("quality,otsu:1 => otsu:1", "unknown mask operation"),
    ],
)
def test_wrong_joined_recipes_are_told(recipe, says):
    with pytest.raises(ParameterError, match=says):
        parse_recipe(recipe)


def test_masks_are_joined():
    quality, ball, hole = ball_quality()
    half = np.zeros(ball.shape, bool)
    half[20:] = True
    both = make_mask("quality,threshold:0.5 & given", quality=quality, given=half)
    assert not both[:20].any()
    assert not both[hole].any()
    filled = make_mask("quality,threshold:0.5 & given => holes", quality=quality, given=half)
    assert filled[hole & half].mean() > 0.6
    either = make_mask("given | quality,threshold:0.5", quality=quality, given=half)
    assert either[half].all()
    assert either[ball & ~hole].mean() > 0.99
    assert make_mask("given,erode:1", given=half).sum() == half[21:].sum()


def test_scalp_that_touches_the_brain_is_cut_off():
    x, y, z = np.meshgrid(*[np.arange(60) - 30] * 3, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    brain, scalp = radius < 18, (radius > 24) & (radius < 28)
    bridge = (np.abs(y) < 2) & (np.abs(z) < 2) & (x > 0) & (radius < 28)
    noise = np.random.default_rng(0).normal(0, 0.03, brain.shape)
    quality = (np.where(brain | scalp | bridge, 0.85, 0.1) + noise).astype(np.float32)
    mask = make_mask(FILLED_RECIPE, quality=quality, reliability=np.ones_like(quality))
    assert not (mask & scalp).any()
    assert 2 * (mask & brain).sum() / (mask.sum() + brain.sum()) > 0.98


def test_uneven_magnitude_is_made_even_before_its_threshold():
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    ball = x**2 + y**2 + z**2 < 0.7
    rng = np.random.default_rng(0)
    signal = ball * 100 * np.exp(-1.6 * (x + 1)) + 2 * (rng.normal(size=ball.shape) + 1j * rng.normal(size=ball.shape))
    magnitude = np.abs(signal).astype(np.float32)
    uneven = make_mask("magnitude,otsu:1,largest", magnitude=magnitude)
    even = make_mask("magnitude,even:10,otsu:1,largest", magnitude=magnitude)
    assert (even & ball).sum() / ball.sum() > 0.93
    assert (uneven & ball).sum() / ball.sum() < 0.8
    assert (even & ~ball).sum() / ball.sum() < 0.05


def test_gaussian_threshold_lies_at_the_edge_of_the_noise():
    rng = np.random.default_rng(0)
    noise = np.abs(rng.normal(0, 1, 60_000) + 1j * rng.normal(0, 1, 60_000))
    values = np.r_[noise, rng.normal(30, 8, 40_000)].astype(np.float32)
    level = gaussian_threshold(values)
    assert 3 < level < otsu_threshold(values)
    above = values > level
    assert above[:60_000].mean() < 0.02
    assert above[60_000:].mean() > 0.98


def test_percentile_and_reliability():
    values = np.arange(1, 1001, dtype=np.float32).reshape(10, 10, 10)
    assert make_mask("reliability,percentile:90", reliability=values).sum() == 100


def test_support_holds_the_object_and_leaves_the_air_out():
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
    ball = x**2 + y**2 + z**2 < 0.4
    signal = np.stack([10 * ball * np.exp(1j * (3 * x + t)) for t in range(2)])
    signal = signal + rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    phase, magnitude = np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32)
    quality = romeo_quality(phase, magnitude=magnitude, echo_times=(0.01, 0.02))
    support = signal_support(quality, True, True)
    assert support[ball].all()
    assert support[x**2 + y**2 + z**2 > 0.85].mean() < 0.01
    noise = rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    nothing = romeo_quality(
        np.angle(noise).astype(np.float32), magnitude=np.abs(noise).astype(np.float32), echo_times=(0.01, 0.02)
    )
    assert signal_support(nothing, True, True).mean() < 0.01


def test_real_head_that_fills_the_field_of_view(real_echoes):
    magnitude, phase = real_echoes
    quality = romeo_quality(phase, magnitude=magnitude, echo_times=(0.004, 0.008, 0.012))
    assert signal_support(quality, True, True).mean() == 1
    combined = np.sqrt(np.square(magnitude).sum(axis=0))
    for recipe in (FILLED_RECIPE, "magnitude,even:15,gaussian:1,open:1,largest,close:3,holes"):
        ones = np.ones_like(quality)
        assert make_mask(recipe, quality=quality, magnitude=combined, reliability=ones).mean() > 0.9


def test_an_object_that_fills_the_field_of_view_is_not_thresholded_away():
    quality = np.random.default_rng(0).normal(0.9, 0.03, (20, 20, 20)).astype(np.float32)
    assert make_mask("quality,otsu:1.3", quality=quality).mean() == 1
