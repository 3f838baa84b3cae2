"""What alternates from voxel to voxel is taken off a field; everything else is left as it was, to the byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.field.alternation import remove_alternation
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

SHAPE = (44, 40, 36)


def ball(shape=SHAPE, radius=0.8):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return x**2 + y**2 + z**2 < radius**2, x, y, z


def smooth_field(seed):
    """A ball with a background (ppm), sources of tissue inside, and noise."""
    mask, x, y, z = ball()
    rng = np.random.default_rng(seed)
    grid = Grid(SHAPE, (1.0, 1.0, 1.0), tuple(rng.normal((0, 0, 3), 1)))
    chi = np.where((x - 0.2) ** 2 + y**2 + z**2 < 0.05, 0.1, 0.0) + np.where(np.abs(z) < 0.15, 0.03, 0.0)
    field = forward_field((chi * mask).astype(np.float32), grid) + 0.3 * x * y + 0.2 * z + 0.1 * (z**2 - x**2)
    return (field + 0.002 * rng.standard_normal(SHAPE)).astype(np.float32), mask


def alternating(axis, envelope):
    sign = 1 - 2 * (np.arange(SHAPE[axis]) % 2)
    return (envelope * np.expand_dims(sign, tuple(a for a in range(3) if a != axis))).astype(np.float32)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31))
def test_tissue_background_and_noise_are_left_as_they_are(seed):
    field, mask = smooth_field(seed)
    result = remove_alternation(field, mask)
    assert result.axes == ()
    np.testing.assert_array_equal(result.field, field)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.integers(0, 2), st.booleans())
def test_what_alternates_along_an_axis_is_taken_off(seed, axis, weighted):
    field, mask = smooth_field(seed)
    x = np.linspace(0, 1, SHAPE[axis])
    envelope = np.expand_dims(0.01 + 0.02 * x**2, tuple(a for a in range(3) if a != axis))
    extra = alternating(axis, np.broadcast_to(envelope, SHAPE))
    weights = np.random.default_rng(seed).uniform(0.3, 1, SHAPE).astype(np.float32) if weighted else None
    given_field = field + extra
    before = given_field.copy()
    result = remove_alternation(given_field, mask, weights=weights)
    assert axis in result.axes
    assert result.excess[axis] > 5
    np.testing.assert_array_equal(given_field, before)
    np.testing.assert_array_equal(result.field[~mask], given_field[~mask])
    left = (result.field - field)[mask]
    assert np.sqrt(np.mean(left**2)) < 0.2 * np.sqrt(np.mean(extra[mask] ** 2))


def test_voxels_without_weight_do_not_count():
    field, mask = smooth_field(0)
    field = field + alternating(2, np.full(SHAPE, 0.02))
    bad = np.random.default_rng(1).random(SHAPE) < 0.03
    weights = np.where(bad, 0, 1).astype(np.float32)
    spoilt = np.where(bad, np.float32(5), field)
    result = remove_alternation(spoilt, mask, weights=weights)
    clean = smooth_field(0)[0]
    good = mask & ~bad
    assert np.sqrt(np.mean((result.field - clean)[good] ** 2)) < 0.002


def test_short_axes_and_empty_masks_have_nothing_to_compare():
    field = np.random.default_rng(0).standard_normal((20, 20, 8), np.float32)
    result = remove_alternation(field, np.ones(field.shape, bool))
    assert np.isnan(result.excess[2])
    assert result.removed[2] == 0
    nothing = remove_alternation(field, np.zeros(field.shape, bool))
    assert nothing.axes == ()
    np.testing.assert_array_equal(nothing.field, field)


def test_the_same_bytes_each_time():
    field, mask = smooth_field(3)
    field = field + alternating(0, np.full(SHAPE, 0.02))
    assert remove_alternation(field, mask).field.tobytes() == remove_alternation(field, mask).field.tobytes()


def test_sharp_air_oblique_to_the_field_no_longer_spoils_the_map():
    """A kernel that is oblique to the grid jumps where k-space ends: edges of air ring through the object."""
    shape = (56, 56, 56)
    grid = Grid(shape, (1.0, 1.0, 1.0), (0.2, -0.3, 0.93))
    mask, x, y, z = ball(shape, 0.62)
    nuclei = 0.12 * ((x - 0.2) ** 2 + y**2 + z**2 < 0.02) - 0.06 * ((x + 0.3) ** 2 + y**2 + z**2 < 0.02)
    chi = np.where(mask, nuclei, 0)
    air = 9.4 * (
        (x**2 + y**2 + (z + 0.85) ** 2 < 0.03) | (np.abs(y - 0.85) < 0.06) & (np.abs(x) < 0.3) & (np.abs(z) < 0.3)
    )
    total = forward_field((chi + air).astype(np.float32), grid)
    result = remove_alternation(total, mask)
    assert len(result.axes) >= 2

    def error(field):
        local, valid = qsm.BACKGROUND["lbv"](field, mask, grid)
        map_ = qsm.INVERSIONS["bayes"](local, valid, grid)
        difference = (map_ - chi)[mask]
        return float(np.linalg.norm(difference - difference.mean()) / np.linalg.norm((chi - chi[mask].mean())[mask]))

    assert error(result.field) < 0.75 * error(total)


def test_a_real_scan_is_left_alone(real_phase):
    magnitude, phase = real_phase
    mask = magnitude > np.percentile(magnitude, 70)
    field = qsm.UNWRAP["romeo"](phase[None], mask, None, magnitude=magnitude[None], echo_times=(0.004,))[0]
    result = remove_alternation(field, mask)
    assert all(not share for share in result.removed)


def test_powers_of_noise_agree():
    noise = np.random.default_rng(5).standard_normal((96, 96, 96), np.float32)
    assert remove_alternation(noise, np.ones(noise.shape, bool)).excess == pytest.approx((1, 1, 1), abs=0.06)
