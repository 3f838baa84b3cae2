"""Susceptibility-weighted images: veins dark, the rest even, slabs in mm."""

import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.swi.clearswi import SwiParams, clear_swi

SHAPE = (40, 40, 24)
GRID = Grid(SHAPE, (1.0, 1.0, 2.0))


def vessels(noise=0.5):
    x, y, _ = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 < 17**2
    vein = ((x - 5) ** 2 + (y - 3) ** 2 < 4) & mask
    rng = np.random.default_rng(0)
    field = 6 * np.exp(-((x + 20) ** 2) / 800) + 8 * vein + rng.normal(0, noise, SHAPE)
    magnitude = mask * (100 + 2 * x) * np.where(vein, 0.9, 1)
    return field.astype(np.float32), magnitude.astype(np.float32), mask, vein


def test_veins_are_dark_and_the_background_is_even():
    field, magnitude, mask, vein = vessels()
    before = magnitude.copy()
    result = clear_swi(field, magnitude, mask, GRID)
    assert np.array_equal(magnitude, before)
    tissue = mask & ~vein
    assert np.median(result.swi[vein]) < 0.3 * np.median(result.swi[tissue])
    assert np.median(magnitude[vein]) > 0.8 * np.median(magnitude[tissue])
    flat = clear_swi(np.zeros(SHAPE, np.float32), magnitude, mask, GRID, params=SwiParams(even=6)).swi
    left, right = (np.median(flat[part][tissue[part]]) for part in (slice(8, 16), slice(26, 34)))
    assert left == pytest.approx(right, rel=0.2)
    assert np.isfinite(result.swi).all()


def test_a_field_and_a_magnitude_in_other_units_give_the_same():
    field, magnitude, mask, _ = vessels()
    first, other = clear_swi(field, magnitude, mask, GRID), clear_swi(7 * field, 1000 * magnitude, mask, GRID)
    np.testing.assert_allclose(first.swi, other.swi, rtol=2e-3, atol=1e-4)


def test_the_slab_of_the_projection_has_its_thickness_in_mm():
    _, magnitude, mask, _ = vessels()
    magnitude[20, 20, 12] = 1
    result = clear_swi(np.zeros(SHAPE, np.float32), magnitude, mask, GRID, params=SwiParams(even=0, thickness=6))
    assert np.flatnonzero(result.minip[20, 20] == 1).tolist() == [11, 12, 13]
    assert not result.minip[~mask].any()
    np.testing.assert_array_equal(result.swi, magnitude)  # no field, nothing is weighted


def test_shapes_must_agree():
    field, magnitude, mask, _ = vessels()
    with pytest.raises(ValueError, match=r"field has shape \(10, .*, the grid"):
        clear_swi(field[:10], magnitude, mask, GRID)
