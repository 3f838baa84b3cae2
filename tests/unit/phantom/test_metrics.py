import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.phantom import metrics

SHAPE = (12, 11, 10)


@pytest.fixture
def maps():
    random = np.random.default_rng(0)
    true = 0.05 * random.standard_normal(SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return true, mask


@settings(deadline=None, max_examples=20)
@given(offset=st.floats(-1, 1), scale=st.floats(0.2, 3))
def test_offset_never_counts_and_scale_counts_as_it_should(offset, scale):
    true = 0.05 * np.random.default_rng(1).standard_normal(SHAPE)
    mask = np.ones(SHAPE, bool)
    estimate = scale * true + offset
    assert metrics.nrmse(estimate, true, mask) == pytest.approx(100 * abs(scale - 1), abs=1e-6)
    assert metrics.detrended_nrmse(estimate, true, mask) == pytest.approx(0, abs=1e-6)


def test_nothing_outside_the_mask_counts(maps):
    true, mask = maps
    estimate = np.where(mask, true, 99)
    for metric in (metrics.nrmse, metrics.detrended_nrmse):
        assert metric(estimate, true, mask) == pytest.approx(0, abs=1e-9)
    assert metrics.xsim(estimate, true, mask) == pytest.approx(1)


def test_xsim_by_hand_at_one_voxel(maps):
    true, mask = maps
    mask = np.zeros(SHAPE, bool)
    mask[5, 5, 5] = mask[5, 5, 6] = True
    estimate = true + 0
    estimate[5, 5, 5] += 0.04
    a, b = (m[5, 5, 5:7] - m[5, 5, 5:7].mean() for m in (estimate, true))
    side = np.exp(-1 / (2 * 1.5**2))
    total = 1 + 2 * sum(np.exp(-(step**2) / (2 * 1.5**2)) for step in (1, 2, 3))
    centre, edge = 1 / total**3, side / total**3
    values = []
    for w in ((centre, edge), (edge, centre)):
        ma, mb = np.dot(w, a), np.dot(w, b)
        va, vb, cov = np.dot(w, a * a) - ma**2, np.dot(w, b * b) - mb**2, np.dot(w, a * b) - ma * mb
        values.append((2 * ma * mb + 1e-4) * (2 * cov + 1e-6) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 1e-6)))
    assert metrics.xsim(estimate, true, mask) == pytest.approx(np.mean(values))


def test_xsim_falls_with_noise_and_a_map_that_is_upside_down_has_no_detrended_error(maps):
    true, mask = maps
    noise = np.random.default_rng(2).standard_normal(SHAPE)
    steps = [metrics.xsim(true + s * noise, true, mask) for s in (0, 0.01, 0.03, 0.1)]
    assert steps == sorted(steps, reverse=True)
    assert metrics.detrended_nrmse(-true, true, mask) == float("inf")


def test_regional_slope(maps):
    true, mask = maps
    labels = np.zeros(SHAPE, int)
    labels[3:5], labels[5:7], labels[7:9] = 1, 2, 3
    regional = metrics.regions(0.8 * true + 0.3, true, mask, labels, {1: "a", 2: "b", 3: "c", 4: "absent"})
    assert [r.name for r in regional] == ["a", "b", "c"]
    assert metrics.slope(regional) == pytest.approx(0.8)
    assert regional[0].true == pytest.approx(true[(labels == 1) & mask].mean() - true[mask].mean())
    assert np.isnan(metrics.slope(regional[:1]))


def test_an_empty_mask_is_refused(maps):
    true, mask = maps
    with pytest.raises(ValueError, match="empty"):
        metrics.nrmse(true, true, np.zeros_like(mask))


def test_xsim_of_a_uniform_window_by_hand(maps):
    true, _ = maps
    mask = np.ones(SHAPE, bool)
    estimate = true + 0.01 * np.random.default_rng(3).standard_normal(SHAPE)
    scored = np.zeros(SHAPE, bool)
    scored[6, 5, 5] = True
    box = (slice(4, 9), slice(3, 8), slice(3, 8))
    a, b = estimate[box], true[box]
    cov = np.mean(a * b) - a.mean() * b.mean()
    luminance = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
    value = luminance * (2 * cov + 1e-6) / (a.var() + b.var() + 1e-6)
    known = metrics.xsim(estimate, true, mask, width=5, uniform=True, reference=False, scored=scored)
    assert known == pytest.approx(value)
    with pytest.raises(ValueError, match="odd"):
        metrics.xsim(estimate, true, mask, width=4)
    with pytest.raises(ValueError, match="scored"):
        metrics.xsim(estimate, true, mask, scored=~mask)
