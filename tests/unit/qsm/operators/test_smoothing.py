"""Gaussian smoothing by boxes."""

import numpy as np
import pytest
from scipy import ndimage

from bids_app.qsm.operators.smoothing import gaussian


@pytest.mark.parametrize("sigma", [(2.0, 3.0, 4.0), (6.0, 6.0, 3.5), (0.0, 2.5, 0.0)])
def test_it_is_nearly_a_gaussian(sigma):
    array = np.random.default_rng(0).normal(size=(40, 44, 30)).astype(np.float32)
    before = array.copy()
    smoothed, expected = gaussian(array, sigma), ndimage.gaussian_filter(array, sigma, mode="constant")
    assert np.array_equal(array, before)
    inner = tuple(slice(int(2 * s), -int(2 * s) or None) for s in sigma)  # at the edge the boxes forget what left
    assert np.linalg.norm((smoothed - expected)[inner]) < 0.15 * np.linalg.norm(expected[inner])
    point = np.zeros((61, 61, 61), np.float32)
    point[30, 30, 30] = 1
    spread = gaussian(point, sigma)
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    for axis in range(3):
        profile = spread.sum(axis=tuple(a for a in range(3) if a != axis))
        assert np.sqrt((profile * (np.arange(61) - 30) ** 2).sum()) == pytest.approx(sigma[axis], rel=0.1, abs=0.01)
