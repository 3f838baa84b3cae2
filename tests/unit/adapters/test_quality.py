"""A registration that looks wrong is told, a right one is not."""

import numpy as np
import pytest

from bids_app.adapters.quality import registration_quality

NAMES = ("the magnitude", "the T1w image")


def head():
    x, y, z = (np.indices((28, 32, 26)).T * 4.0 - (54, 62, 50)).T
    inside = (x / 42) ** 2 + (y / 50) ** 2 + (z / 38) ** 2 < 1
    texture = np.sin(x / 7 + 1) + np.sin(y / 8 + x / 15) + np.sin(z / 6 - 0.5)
    return (inside * (100 + 15 * texture)).astype(np.float32)


def judged(moved):
    return registration_quality(head(), moved.astype(np.float32), (4.0, 4.0, 4.0), NAMES)


def test_other_contrast_at_the_right_place_is_no_warning():
    metrics, warnings = judged((200 - head()) * (head() > 0))
    assert warnings == []
    assert metrics["overlap_dice"] > 0.95
    assert metrics["mutual_information"] > metrics["mutual_information_shifted"]


def test_a_head_far_away_does_not_overlap():
    _, warnings = judged(np.roll(head(), 12, axis=1))
    assert "the T1w image to the magnitude looks wrong: the heads overlap by" in warnings[0]


def test_a_head_six_millimetres_aside_agrees_better_when_shifted():
    metrics, warnings = judged(np.roll(head(), 2, axis=0))
    assert metrics["overlap_dice"] > 0.8
    assert any("match better after a shift of 6 mm" in warning for warning in warnings)


@pytest.mark.parametrize("sense", [1, 3])
@pytest.mark.parametrize(("axes", "name"), [((1, 2), "left-right"), ((0, 2), "front-back"), ((0, 1), "head-foot")])
def test_a_head_turned_by_a_quarter_is_told(axes, name, sense):
    """The voxels differ along the axes, and the heads have different places in their images."""
    whole = np.pad(head(), [(4, 4), (2, 2), (5, 5)])
    turned = np.roll(np.rot90(np.pad(whole, [(0, 36 - n) for n in whole.shape]), sense, axes), (1, -2), (0, 2))
    fixed = np.pad(whole, [(0, 36 - n) for n in whole.shape])[:, :, ::2]
    metrics, warnings = registration_quality(fixed, turned[:, :, ::2], (4.0, 4.0, 8.0), NAMES)
    assert any(f"rotation of 90 degrees about the {name} axis" in warning for warning in warnings)
    assert metrics["mutual_information_turned"] > metrics["mutual_information"]


@pytest.mark.parametrize(("axes", "name"), [((1, 2), "left-right"), ((0, 2), "front-back"), ((0, 1), "head-foot")])
def test_a_head_turned_by_half_a_turn_is_told(axes, name):
    turned = np.roll(np.flip(head(), axes), (1, -1), (0, 2))
    _, warnings = judged(turned)
    assert any(f"rotation of 180 degrees about the {name} axis" in warning for warning in warnings)
