"""Alternating slices and noise are seen; what only looks like them is not touched."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.phase.checks import residue_share, slices_alternate, undo_alternation
from bids_app.qsm.phase.scaling import wrap

SHAPE = (32, 30, 24)


def head(seed=0, slope=0.0, noise=0.1):
    """Return magnitude and phase of a ball in noise; ``slope`` is the phase step from slice to slice in rad."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    rng = np.random.default_rng(seed)
    angle = 4 * np.exp(-3 * ((x - rng.uniform(-0.5, 0.5)) ** 2 + y**2 + z**2)) + 2 * x - y
    angle = angle + slope * np.arange(SHAPE[2])
    signal = (x**2 + y**2 + z**2 < 0.8) * np.exp(1j * angle)
    signal = signal + noise * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(-1.3, 1.3))
def test_ordinary_phase_is_not_touched_and_alternating_slices_are_undone(seed, slope):
    magnitude, phase = head(seed, slope if abs(slope) < 1.2 else 1.2)
    assert not slices_alternate(phase, magnitude)
    assert not slices_alternate(phase)
    flipped = undo_alternation(phase)  # its own inverse
    steep = abs(slope) > 0.8  # cos(pi - 0.8) is no longer a clear sign
    assert steep or slices_alternate(flipped, magnitude)
    np.testing.assert_allclose(wrap(undo_alternation(flipped) - phase), 0, atol=1e-5)


def test_noise_is_no_alternation():
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, SHAPE).astype(np.float32)
    assert not slices_alternate(noise)


def test_residues_tell_noise_from_phase():
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (60, 60, 30)).astype(np.float32)
    assert residue_share(noise) == pytest.approx(1 / 3, abs=0.01)
    magnitude, phase = head()
    assert residue_share(phase, magnitude > 0.5) < 0.02


def test_real_head_scan_is_left_alone(real_phase):
    magnitude, phase = real_phase
    assert not slices_alternate(phase, magnitude)
    assert residue_share(phase) < 0.1
