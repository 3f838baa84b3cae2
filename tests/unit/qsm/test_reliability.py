"""Weights from standard error and residual."""

import numpy as np

from bids_app.qsm.reliability import reliability_weights

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
    residual[0] = 0.6
    sd[1], sd[2], residual[3] = 0, np.nan, np.nan
    weights = reliability_weights(sd, mask, residual)
    np.testing.assert_allclose(weights[0], 0.1, rtol=1e-5)
    assert not weights[1:3].any()
    np.testing.assert_allclose(weights[3:], 1)


def test_without_any_error_all_voxels_of_the_mask_count_the_same():
    mask = np.zeros(SHAPE, bool)
    mask[3:6] = True
    assert np.array_equal(reliability_weights(np.zeros(SHAPE, np.float32), mask), mask.astype(np.float32))
