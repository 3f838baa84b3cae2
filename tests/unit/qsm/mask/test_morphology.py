"""Morphology against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app.qsm.mask import morphology


def random_mask(seed, shape=(15, 12, 17)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1)
    return noise > np.quantile(noise, 0.45)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_they_are_those_of_scipy(seed, times):
    mask = random_mask(seed)
    before = mask.copy()
    assert np.array_equal(morphology.dilate(mask, times), ndimage.binary_dilation(mask, iterations=times))
    eroded = ndimage.binary_erosion(mask, iterations=times, border_value=1)
    assert np.array_equal(morphology.erode(mask, times), eroded)
    assert np.array_equal(morphology.opened(mask, times), ndimage.binary_dilation(eroded, iterations=times))
    padded = ndimage.binary_closing(np.pad(mask, times + 1), iterations=times)[(slice(times + 1, -times - 1),) * 3]
    assert np.array_equal(morphology.closed(mask, times), padded)
    assert np.array_equal(morphology.fill_holes(mask), ndimage.binary_fill_holes(mask))
    total = ndimage.convolve(mask.astype(int), np.ones((3, 3, 3)), mode="constant")
    assert np.array_equal(morphology.fill_neighbours(mask, 20), mask | (total >= 20))
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())[1:]
    assert np.array_equal(morphology.largest(mask), parts == 1 + np.argmax(sizes))
    assert np.array_equal(mask, before)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 1, 6)])
def test_masks_without_or_with_every_voxel(value, shape):
    mask = np.full(shape, value)
    for function in (morphology.largest, morphology.fill_holes):
        assert np.array_equal(function(mask), mask)
    assert np.array_equal(morphology.erode(mask, 2), mask)
