"""Weights from standard error and residual."""

import numpy as np
import pytest

from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.mask.boundary import remove_unreliable_boundary

SHAPE = (12, 10, 8)


def test_weights_follow_the_inverse_error_and_do_not_know_its_unit():
    rng = np.random.default_rng(0)
    sd = rng.uniform(0.5, 5, SHAPE).astype(np.float32)
    mask = np.ones(SHAPE, bool)
    mask[:2] = False
    weights = reliability_weights(sd, mask)
    assert weights.dtype == np.float32
    assert not weights[:2].any()
    free = mask & (weights < 2)
    np.testing.assert_allclose(weights[free] * sd[free], np.median(sd[mask]), rtol=1e-5)
    np.testing.assert_allclose(reliability_weights(1000 * sd, mask), weights, rtol=1e-5)


def test_a_large_residual_lowers_the_weight_and_no_fit_has_none():
    sd, residual, mask = np.ones(SHAPE, np.float32), np.full(SHAPE, 0.02, np.float32), np.ones(SHAPE, bool)
    residual[0] = 0.12
    sd[1], sd[2], residual[3] = 0, np.nan, np.nan
    weights = reliability_weights(sd, mask, residual)
    np.testing.assert_allclose(weights[0], 0.5, rtol=1e-5)
    assert not weights[1:3].any()
    np.testing.assert_allclose(weights[3:], 1)


def test_what_is_far_off_the_model_at_the_boundary_has_no_weight_but_noise_small_misfits_and_gaps_inside_do():
    sd, residual, mask = np.ones(SHAPE, np.float32), np.full(SHAPE, 0.02, np.float32), np.ones(SHAPE, bool)
    sd[0], residual[0] = 2, 0.4  # ten times the expected one, large, and dephased
    residual[1] = 0.14  # seven times, but small
    sd[2], residual[2] = 10, 0.6  # large, and three times what so much noise makes
    sd[6, 5, 4], residual[6, 5, 4] = 2, 0.4  # as in the first plane, but with object around it
    residual[11] = 0.4  # as in the first plane, with all its signal: beside a strong source
    weights = reliability_weights(sd, mask, residual)
    assert not weights[0].any()
    np.testing.assert_allclose(weights[6, 5, 4], 0.5 * 3 / 10, rtol=1e-5)
    np.testing.assert_allclose(weights[11], 3 / 20, rtol=1e-5)
    np.testing.assert_allclose(weights[1], 3 / 7, rtol=1e-5)
    np.testing.assert_allclose(weights[2], 0.1, rtol=1e-5)


def test_air_sets_no_median_even_where_it_is_most_of_the_volume():
    sd, residual, mask = np.full(SHAPE, 300, np.float32), np.full(SHAPE, 1.0, np.float32), np.ones(SHAPE, bool)
    sd[:3], residual[:3] = 1, 0.02  # a quarter is object
    weights = reliability_weights(sd, mask, residual)
    np.testing.assert_allclose(weights[:3], 1, rtol=1e-5)
    assert weights[3:].max() < 0.01


def test_misfits_without_noise_are_harmless_while_they_are_small():
    sd, residual, mask = np.ones(SHAPE, np.float32), np.full(SHAPE, 0.001, np.float32), np.ones(SHAPE, bool)
    residual[3], residual[4] = 0.049, 0.1
    weights = reliability_weights(sd, mask, residual)
    np.testing.assert_allclose(weights[3], 1, rtol=1e-5)
    np.testing.assert_allclose(weights[4], 0.5, rtol=1e-5)


def test_the_rim_ends_where_weights_begin_and_gaps_inside_stay():
    mask = np.zeros((20, 18, 16), bool)
    mask[2:18, 2:16, 2:14] = True
    weights = mask.astype(np.float32)
    weights[2:6, 7:9, 7:9] = 0  # a pit from the surface
    weights[10, 8, 8] = 0
    weights[14, 2, 5] = np.nan
    before = mask.copy()
    expected = mask.copy()
    expected[2:6, 7:9, 7:9] = False
    expected[14, 2, 5] = False
    assert np.array_equal(remove_unreliable_boundary(mask, weights), expected)
    assert np.array_equal(mask, before)
    assert remove_unreliable_boundary(mask, None) is mask
    assert np.array_equal(remove_unreliable_boundary(mask, np.ones(mask.shape, np.float32)), mask)
    with pytest.raises(ValueError, match="zero everywhere"):
        remove_unreliable_boundary(mask, np.zeros(mask.shape, np.float32))


def test_without_any_error_all_voxels_of_the_mask_count_the_same():
    mask = np.zeros(SHAPE, bool)
    mask[3:6] = True
    assert np.array_equal(reliability_weights(np.zeros(SHAPE, np.float32), mask), mask.astype(np.float32))
