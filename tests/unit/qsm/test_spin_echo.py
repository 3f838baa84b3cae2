"""R2 from spin echoes: extended phase graphs against isochromats, fits against the Cramer-Rao bound."""

import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.relaxometry.epg import EpgParams, epg_signal, is_cpmg
from bids_app.qsm.relaxometry.epg_fit import r2_epg
from bids_app.qsm.relaxometry.spin_echo import r2_loglinear

SPACING, ECHOES = 0.010, 12
TIMES = tuple(SPACING * (n + 1) for n in range(ECHOES))
SHAPE = (16, 16, 16)
GRID, MASK = Grid(SHAPE, (2.0, 2.0, 2.0)), np.ones(SHAPE, bool)


def isochromats(r2, angle, echoes, r1, count=512):
    """Echoes of a CPMG train by rotating many spins: knows nothing of phase graphs."""
    spins = np.zeros((count, 3))
    spins[:, 0] = 1.0  # after the excitation, along the axis of the refocusing pulses
    phase = 2 * np.pi * (np.arange(count) + 0.5) / count
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    half = 0.5 * SPACING
    out = []
    for _ in range(echoes):
        for part in range(2):
            turned = (spins[:, 0] + 1j * spins[:, 1]) * np.exp(1j * phase) * np.exp(-r2 * half)
            spins = np.stack([turned.real, turned.imag, spins[:, 2] * np.exp(-r1 * half)], axis=1)
            if part == 0:
                y, z = spins[:, 1].copy(), spins[:, 2].copy()
                spins[:, 1], spins[:, 2] = c * y - s * z, s * y + c * z
        out.append(spins[:, 0].mean())
    return np.array(out)


@pytest.mark.parametrize("angle", [180.0, 150.0, 120.0, 90.0, 60.0])
def test_phase_graphs_equal_isochromats(angle):
    expected = isochromats(12.0, angle, ECHOES, 1 / 1.2)
    np.testing.assert_allclose(epg_signal(12.0, angle, SPACING, ECHOES), expected, atol=2e-6)


def test_perfect_refocusing_is_an_exponential():
    np.testing.assert_allclose(epg_signal(25.0, 180.0, SPACING, ECHOES), np.exp(-25 * np.array(TIMES)), rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="positive"):
        epg_signal(10.0, 180.0, 0.0, 4)
    with pytest.raises(ValueError, match="multiples"):
        r2_epg(np.ones((4, 2, 2, 2), np.float32), (0.01, 0.02, 0.035, 0.04), np.ones((2, 2, 2), bool), Grid((2, 2, 2)))
    with pytest.raises(ValueError, match="at least 4"):
        r2_epg(np.ones((3, 2, 2, 2), np.float32), (0.01, 0.02, 0.03), np.ones((2, 2, 2), bool), Grid((2, 2, 2)))
    assert is_cpmg((0.01, 0.0201, 0.03))
    assert not is_cpmg((0.01, 0.03, 0.05))


def train(r2, angle, sigma, seed=0):
    rng = np.random.default_rng(seed)
    signal = 100 * epg_signal(r2, angle, SPACING, ECHOES)[:, None, None, None] * np.ones(SHAPE)
    noise = sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal + noise).astype(np.float32)


@pytest.mark.parametrize("angle", [172.0, 140.0, 110.0])
@pytest.mark.parametrize("r2", [6.0, 14.0, 40.0])
def test_r2_without_noise(r2, angle):
    fit = r2_epg(train(r2, angle, 0.0), TIMES, MASK, GRID)
    assert np.median(fit.r2) == pytest.approx(r2, rel=0.01)
    assert np.median(fit.angle) == pytest.approx(angle, abs=5 if angle > 165 else 1.5)  # flat near 180 degrees
    assert np.median(fit.s0) == pytest.approx(100, rel=0.01)


def test_the_line_is_biased_by_stimulated_echoes_and_the_phase_graph_is_not():
    magnitude = train(14.0, 120.0, 0.3)
    line, graph = r2_loglinear(magnitude, TIMES, MASK, GRID, noise=0.3), r2_epg(magnitude, TIMES, MASK, GRID, noise=0.3)
    assert np.median(line.r2) < 14 * 0.95
    assert np.median(graph.r2) == pytest.approx(14, rel=0.01)


def bound(r2, angle, sigma):
    """Cramer-Rao bound of R2 with S0 and R2 unknown (the angle is known from its neighbourhood)."""
    h = 1e-3
    model = 100 * epg_signal(r2, angle, SPACING, ECHOES).astype(float)
    slope = (epg_signal(r2 * (1 + h), angle, SPACING, ECHOES) - epg_signal(r2 * (1 - h), angle, SPACING, ECHOES)) / (
        2 * h * r2
    )
    jacobian = np.stack([model / 100, 100 * slope.astype(float)], axis=1)
    return sigma * np.sqrt(np.linalg.inv(jacobian.T @ jacobian)[1, 1])


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_spread_reaches_the_cramer_rao_bound(sigma):
    fit = r2_epg(train(14.0, 140.0, sigma, seed=3), TIMES, MASK, GRID, noise=sigma)
    limit = bound(14.0, 140.0, sigma)
    # The small cube's angle is averaged over few voxels, whose error is common to all: it enters the mean.
    assert 0.8 * limit < fit.r2.std() < 1.25 * limit
    assert fit.r2.mean() == pytest.approx(14.0, abs=max(3 * limit / 10, 0.15))
    assert np.median(fit.r2_sd) == pytest.approx(limit, rel=0.25)


def test_line_without_stimulated_echoes():
    fit = r2_loglinear(train(14.0, 180.0, 0.5), TIMES, MASK, GRID, noise=0.5)
    assert np.median(fit.r2) == pytest.approx(14.0, rel=0.01)
    np.testing.assert_allclose(np.median(fit.t2), 1 / 14, rtol=0.01)
    assert fit.r2.std() == pytest.approx(np.median(fit.r2_sd), rel=0.25)


@pytest.mark.parametrize("method", [r2_epg, r2_loglinear])
def test_what_is_not_finite_or_without_signal_is_zero(method):
    magnitude, mask = train(14.0, 150.0, 0.5), MASK.copy()
    magnitude[2, 0, 0, 0], magnitude[:, 1], mask[2] = np.nan, 0, False
    fit = method(magnitude, TIMES, mask, GRID, noise=0.5)
    for data in (fit.r2, fit.r2_sd, fit.s0, fit.angle, fit.residual, fit.t2):
        assert np.isfinite(data).all()
        assert data[0, 0, 0] == 0
        assert not data[1].any()
        assert not data[2].any()


def test_each_voxel_alone_has_a_larger_spread_than_with_a_smooth_angle():
    magnitude = train(14.0, 130.0, 1.0, seed=5)
    alone = r2_epg(magnitude, TIMES, MASK, GRID, params=EpgParams(smoothing=0.0), noise=1.0)
    smooth = r2_epg(magnitude, TIMES, MASK, GRID, noise=1.0)
    assert smooth.r2.std() < alone.r2.std()
