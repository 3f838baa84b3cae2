"""Phase offsets of single slices: found by the data, removed, and nothing else taken for them."""

import numpy as np
import pytest

from bids_app.qsm.phase.slice_offsets import has_own_offsets, remove_slice_offsets, slice_steps

TIMES = (0.004, 0.009, 0.014)


def head(offsets=0.0, axis=2, seed=0):
    """Return phase and magnitude of a small object with a smooth field and a transmit phase, and noise in air."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 20, 16)], indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.8
    field, transmit = 60 * (x * y + z - 0.5 * z**2), 1.5 * (x**2 + y**2 + 0.5 * z)
    shape = [1, 1, 1]
    shape[axis] = -1
    signals = []
    for time in TIMES:
        signal = inside * np.exp(-20 * time) * np.exp(1j * (2 * np.pi * field * time + transmit))
        signal = signal * np.exp(1j * np.reshape(offsets, shape))
        signals.append(signal + 0.01 * (rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)))
    both = np.array(signals)
    return np.angle(both).astype(np.float32), np.abs(both).astype(np.float32), inside


@pytest.mark.parametrize("axis", [2, 1, 0])
def test_random_offsets_are_found_and_removed(axis):
    offsets = np.random.default_rng(1).uniform(-np.pi, np.pi, (24, 20, 16)[axis])
    clean, magnitude, inside = head()
    phase, _, _ = head(offsets, axis)
    steps, weights = slice_steps(phase, magnitude, TIMES, axis)
    assert has_own_offsets(steps, weights)
    remove_slice_offsets(phase, steps, axis)
    assert not has_own_offsets(*slice_steps(phase, magnitude, TIMES, axis))
    # What is left of one offset: smooth along the slices, and the same in all echoes.
    left = np.exp(1j * (phase - clean).astype(np.float64))
    along = np.moveaxis(left * inside, axis + 1, 1).sum(axis=(2, 3))
    angles = np.angle(along)[:, 2:-2]
    assert np.abs(np.angle(np.exp(1j * (angles - angles[0])))).max() < 0.05
    assert np.abs(np.angle(np.exp(1j * np.diff(angles[0])))).max() < 0.4


def test_a_volume_has_none():
    phase, magnitude, _ = head()
    assert not has_own_offsets(*slice_steps(phase, magnitude, TIMES), is_2d=True)
    noise = np.random.default_rng(2).uniform(-np.pi, np.pi, phase.shape).astype(np.float32)
    assert not has_own_offsets(*slice_steps(phase, np.zeros_like(noise), TIMES))


@pytest.mark.parametrize("echo", [0, 2])
def test_a_single_echo_shows_them_too(echo):
    offsets = np.random.default_rng(3).uniform(-np.pi, np.pi, 16)
    for phase, expected in ((head(), False), (head(offsets), True)):
        steps, weights = slice_steps(phase[0][echo : echo + 1], phase[1][echo : echo + 1], TIMES[echo : echo + 1])
        assert has_own_offsets(steps, weights, single_echo=True) is expected
        assert has_own_offsets(steps, weights, is_2d=True, single_echo=True) is expected


def test_an_alternating_sign_is_left_to_its_own_correction():
    phase, magnitude, _ = head(np.pi * (np.arange(16) % 2))
    assert not has_own_offsets(*slice_steps(phase, magnitude, TIMES))


def test_one_pair_of_slices_says_nothing():
    assert not has_own_offsets(np.array([3.0]))
