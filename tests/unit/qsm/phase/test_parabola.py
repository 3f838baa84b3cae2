"""The parabola of a wrapped phase: found through turns, noise and holes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.phase.parabola import parabola
from bids_app.qsm.phase.scaling import wrap

SHAPE = (33, 28, 24)


def places():
    return np.meshgrid(*[np.arange(n) * 2 / n - 1 for n in SHAPE], indexing="ij")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.tuples(*[st.integers(1, 3)] * 3))
def test_a_parabola_is_found_to_rounding_and_through_noise_and_holes(seed, steps):
    x, y, z = places()
    rng = np.random.default_rng(seed)
    c = rng.uniform(-4, 4, 9)
    terms = (x, y, z, x * x, y * y, z * z, x * y, y * z, x * z)
    true = sum(a * t for a, t in zip(c, terms, strict=True))
    known = (x**2 + y**2 + z**2 < 0.9) & (rng.random(SHAPE) < 0.8)
    weight = rng.uniform(0.1, 1, SHAPE).astype(np.float32)
    clean = wrap((true + 2).astype(np.float32))
    clean[~known] = np.nan
    fitted = parabola(clean, weight, known, steps)
    np.testing.assert_allclose(fitted, true, atol=2e-4)
    noisy = clean + 0.1 * rng.standard_normal(SHAPE, np.float32)
    assert np.abs(parabola(noisy, weight, known, steps) - true)[known].max() < 0.15


def test_nothing_known_and_short_axes_give_zero():
    phase = np.ones((5, 6, 2), np.float32)
    none = np.zeros(phase.shape, bool)
    np.testing.assert_array_equal(parabola(phase, phase, none, (1, 1, 3)), 0)
    np.testing.assert_array_equal(parabola(phase, phase, ~none, (9, 9, 9)), 0)
