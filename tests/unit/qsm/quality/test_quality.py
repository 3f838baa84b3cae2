"""Numbers for quality control: each is shown the fault that it is there for."""

import numpy as np
import pytest

from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.tkd import TkdParams, tkd
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.quality import echoes as echoes
from bids_app.qsm.quality import maps as maps

SHAPE = (48, 44, 40)
GRID = Grid(SHAPE, (2.0, 2.0, 2.0), (0.0, 0.3, 0.95))
TIMES = (0.004, 0.009, 0.014, 0.019)


@pytest.fixture(scope="module")
def ball():
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    return x**2 + y**2 + z**2 < 15**2


@pytest.fixture(scope="module")
def chi(ball):
    rng = np.random.default_rng(5)
    field = np.zeros(SHAPE, np.float32)
    for centre in rng.uniform(-8, 8, (12, 3)):
        x, y, z = np.meshgrid(*[np.arange(n) - n / 2 - c for n, c in zip(SHAPE, centre, strict=True)], indexing="ij")
        field[x**2 + y**2 + z**2 < rng.uniform(2, 5) ** 2] = rng.normal() * 0.1
    return field * ball


def image(ball, sd, seed=0, level=100.0):
    rng = np.random.default_rng(seed)
    x = np.linspace(0.8, 1.2, SHAPE[0]).reshape(-1, 1, 1)  # receive field
    clean = level * x * np.where(ball, 1 + 0.2 * (np.indices(SHAPE)[1] % 11 > 5), 0.0)
    return np.abs(clean + sd * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))).astype(np.float32)


@pytest.mark.parametrize("sd", [1.0, 2.0, 4.0])
def test_noise_is_found_inside_the_object(ball, sd):
    assert echoes.noise_sd(image(ball, sd), ball) == pytest.approx(sd, rel=0.06)


def test_twice_the_noise_halves_the_snr(ball):
    first, two = (echoes.snr(image(ball, sd), ball) for sd in (2.0, 4.0))
    assert two == pytest.approx(first / 2, rel=0.06)
    assert first == pytest.approx(110 / 2, rel=0.1)


def test_zeroed_air_does_not_change_the_noise(ball):
    magnitude = image(ball, 2.0)
    assert echoes.noise_sd(magnitude * ball, ball) == echoes.noise_sd(magnitude, ball)


def test_no_noise_and_no_object_have_no_snr(ball):
    assert echoes.snr(np.ones(SHAPE, np.float32), ball) is None
    assert echoes.snr(image(ball, 1.0), np.zeros(SHAPE, bool)) is None
    flat = np.random.default_rng(0).normal(50, 1, (80, 80, 1)).astype(np.float32)  # one slice
    assert echoes.noise_sd(flat, np.ones(flat.shape, bool)) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_planted_ghost_is_measured_along_its_axis(axis):
    shape = (64, 64, 24)
    x, y, _ = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    disc = x**2 + y**2 < 14**2
    rng = np.random.default_rng(1)
    clean = (100.0 * disc + 0.08 * 100 * np.roll(disc, shape[axis] // 2, axis)).astype(np.float32)
    magnitude = np.abs(clean + rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.float32)
    assert echoes.ghost_fraction(magnitude, disc, [axis]) == pytest.approx(0.08, abs=0.015)
    assert echoes.ghost_fraction(magnitude, disc, [1 - axis]) < 0.01
    assert echoes.ghost_fraction(magnitude, disc) == echoes.ghost_fraction(magnitude, disc, [axis])
    assert echoes.ghost_fraction(magnitude * disc, disc) == 0
    assert echoes.ghost_fraction(magnitude, np.ones(shape, bool)) is None


def train(ball, field, sd=1.0, extra=None):
    """Return unwrapped phase and magnitude of the echoes; ``extra`` (Hz) adds to the field in the last interval."""
    rng = np.random.default_rng(2)
    magnitude = np.stack([image(ball, sd, n, 100 * np.exp(-20 * t)) for n, t in enumerate(TIMES)])
    phase = np.stack([2 * np.pi * field * t for t in TIMES])
    if extra is not None:
        phase[-1] += 2 * np.pi * extra * (TIMES[-1] - TIMES[-2])
    return (phase + rng.normal(size=phase.shape) * sd / np.maximum(magnitude, 1)).astype(np.float32), magnitude


@pytest.fixture(scope="module")
def field(ball):
    x, y, _ = np.indices(SHAPE)
    return (np.where(ball, 20 * np.sin(x / 9) + 1.5 * y, 0)).astype(np.float32)


def test_drift_of_the_field_is_measured_in_hertz(ball, field):
    numbers = []
    for extra in (None, 3.0):
        phase, magnitude = train(ball, field, extra=extra)
        fit = fit_linear(phase, magnitude, TIMES, ball)
        numbers.append(echoes.field_drift(phase, magnitude, TIMES, fit.field_hz, ball))
    assert numbers[0] < 0.1
    assert numbers[1] == pytest.approx(3.0, abs=0.2)
    assert echoes.field_drift(phase[:2], magnitude[:2], TIMES[:2], fit.field_hz, ball) is None


def test_drift_does_not_depend_on_turns(ball, field):
    phase, magnitude = train(ball, field)
    fit = fit_linear(phase, magnitude, TIMES, ball)
    turned = phase.copy()
    turned[2, :20] += np.float32(2 * np.pi)
    before, after = (echoes.field_drift(p, magnitude, TIMES, fit.field_hz, ball) for p in (phase, turned))
    assert after == pytest.approx(before, abs=1e-4)


def test_a_planted_wrap_is_counted_pair_by_pair(ball, field):
    phase, _ = train(ball, field, sd=0.2)
    assert echoes.residual_wraps(phase, ball).sum() == 0
    half = phase.copy()
    half[3, 24:] += np.float32(2 * np.pi)  # of one echo: a wall of pairs along x
    assert echoes.residual_wraps(half, ball).sum() == np.count_nonzero(ball[23] & ball[24])
    voxel = phase.copy()
    voxel[:, 20, 20, 20] -= np.float32(2 * np.pi)
    assert echoes.residual_wraps(voxel, ball).sum() == 6


def test_unreliable_voxels_are_counted(ball, field):
    phase, magnitude = train(ball, field)
    before = maps.field_quality(*fit_of(phase, magnitude, ball), ball)
    quarter = ball & (np.indices(SHAPE)[2] < 14)
    weak = magnitude * np.where(quarter, np.float32(0.2), np.float32(1))
    after = maps.field_quality(*fit_of(phase, weak, ball), ball)
    assert before.unreliable_fraction < 0.02
    assert after.unreliable_fraction == pytest.approx(np.count_nonzero(quarter) / np.count_nonzero(ball), abs=0.03)


def fit_of(phase, magnitude, mask):
    fit = fit_linear(phase, magnitude, TIMES, mask)
    return fit.sd_hz, fit.residual_rad


def test_residual_and_error_grow_with_noise_and_noise_is_not_correlated(ball, field):
    quiet, loud = (maps.field_quality(*fit_of(*train(ball, field, sd), ball), ball) for sd in (1.0, 3.0))
    assert loud.residual_rad == pytest.approx(3 * quiet.residual_rad, rel=0.1)
    assert loud.error_hz == pytest.approx(3 * quiet.error_hz, rel=0.1)
    assert abs(quiet.residual_correlation) < 0.05
    assert abs(loud.residual_correlation) < 0.05


def test_a_smooth_error_of_one_echo_correlates_the_residuals(ball, field):
    phase, magnitude = train(ball, field)
    phase[2] += (0.05 * np.sin(np.indices(SHAPE)[1] / 3)).astype(np.float32)  # a head that has moved
    assert maps.field_quality(*fit_of(phase, magnitude, ball), ball).residual_correlation > 0.3


def test_one_echo_has_no_residual(ball, field):
    phase, magnitude = train(ball, field)
    fit = fit_linear(phase[:1], magnitude[:1], TIMES[:1], ball)
    fit_quality = maps.field_quality(fit.sd_hz, fit.residual_rad, ball)
    assert (fit_quality.error_hz, fit_quality.residual_rad, fit_quality.residual_correlation) == (None, None, None)


def test_background_left_raises_the_rim(ball, chi):
    local = forward_field(chi, GRID)
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    outside = ((radius > 15.5) & (radius < 18.5)) * np.sign(np.sin(x / 2) * np.sin(y / 2) * np.sin(z / 2 + 1))
    outside = outside.astype(np.float32)
    clean, spoilt = (maps.boundary_ratio(f, ball, GRID) for f in (local, local + forward_field(outside, GRID)))
    assert spoilt > 1.5 * clean
    assert maps.boundary_ratio(5 * local, ball, GRID) == pytest.approx(clean, rel=1e-4)
    small = ball & (np.indices(SHAPE)[0] == 20)
    assert maps.boundary_ratio(local, small, GRID) is None


def test_streaks_of_a_small_threshold_raise_the_ratio(ball, chi):
    rng = np.random.default_rng(3)
    noisy = (forward_field(chi, GRID) + 0.004 * rng.normal(size=SHAPE).astype(np.float32)) * ball
    ratios = [
        maps.streak_ratio(tkd(noisy, ball, GRID, params=TkdParams(threshold=t)), ball, GRID) for t in (0.02, 0.1, 0.3)
    ]
    assert ratios[0] > ratios[1] > ratios[2]
    assert ratios[0] > 2
    assert maps.streak_ratio(chi, ball, GRID) == pytest.approx(1, abs=0.4)
    assert maps.streak_ratio(3 * chi, ball, GRID) == pytest.approx(maps.streak_ratio(chi, ball, GRID), rel=1e-3)
    assert maps.streak_ratio(np.zeros(SHAPE, np.float32), ball, GRID) is None


def test_inputs_stay_and_results_repeat(ball, field):
    phase, magnitude = train(ball, field)
    kept = phase.copy(), magnitude.copy(), ball.copy()
    fit = fit_of(phase, magnitude, ball)
    first, second = (maps.field_quality(*fit, ball) for _ in range(2))
    assert first == second
    assert echoes.ghost_fraction(magnitude[0], ball) == echoes.ghost_fraction(magnitude[0], ball)
    assert echoes.snr(magnitude[0], ball) == echoes.snr(magnitude[0], ball)
    for now, before in zip((phase, magnitude, ball), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_large_objects_are_judged_by_a_sample_as_they_would_be_whole(monkeypatch):
    rng = np.random.default_rng(5)
    shape = (40, 44, 48)
    sd = np.abs(rng.normal(1, 0.4, shape)).astype(np.float32)
    residual = (sd * rng.uniform(0.5, 1.5, shape)).astype(np.float32)
    mask = np.ones(shape, bool)
    whole, spread = maps.field_quality(sd, residual, mask), maps.robust_sd(sd[mask])
    monkeypatch.setattr(maps, "_MEDIAN_OF", 1 << 13)
    some = maps.field_quality(sd, residual, mask)
    assert some.error_hz == pytest.approx(whole.error_hz, rel=0.02)
    assert some.residual_rad == pytest.approx(whole.residual_rad, rel=0.02)
    assert some.unreliable_fraction == pytest.approx(whole.unreliable_fraction, abs=0.01)
    assert some.residual_correlation == pytest.approx(whole.residual_correlation, abs=0.01)
    assert maps.robust_sd(sd[mask]) == pytest.approx(spread, rel=0.03)
    assert some != whole
