"""Laplacian unwrapping against truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.unwrap.laplacian import laplacian

SHAPE = (34, 30, 26)


def field(seed, height):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    centre = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    distance = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return (height * np.exp(-3 * distance) + 3 * x).astype(np.float32)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.5, 20), st.tuples(*[st.floats(0.5, 3)] * 3))
def test_it_is_exact_up_to_turns_where_neighbours_differ_by_less_than_half_a_turn(seed, height, size):
    truth = field(seed, height)
    difference = laplacian(wrap(truth), grid=Grid(SHAPE, size)) - truth
    assert np.ptp(difference) < 0.01 * max(1, height)
    turns = difference.mean() / (2 * np.pi)
    assert abs(turns - np.rint(turns)) < 0.01


def test_noise_outside_the_mask_does_not_matter():
    truth = field(0, 12)
    mask = np.zeros(SHAPE, bool)
    mask[5:29, 4:26, 3:22] = True
    phase = np.where(mask, wrap(truth), np.random.default_rng(0).uniform(-np.pi, np.pi, SHAPE)).astype(np.float32)
    phase[0, 0, 0] = np.nan
    unwrapped = laplacian(phase, mask)
    assert not unwrapped[~mask].any()
    assert np.ptp((unwrapped - truth)[mask]) < 0.1
    assert unwrapped.dtype == np.float32


def test_echoes_are_done_one_by_one_and_the_registry_has_it():
    phase = np.stack([wrap(field(0, 6)), wrap(field(1, 9))])
    both = qsm.UNWRAP["laplacian"](phase, None, Grid(SHAPE))
    np.testing.assert_array_equal(both[1], laplacian(phase[1]))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="do not match"):
        laplacian(field(0, 1), np.ones((2, 2, 2), bool))
