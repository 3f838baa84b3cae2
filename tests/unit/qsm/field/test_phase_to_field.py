"""Phase scaling, ROMEO, MCPC-3D-S, field fit, R2*."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.field.linear import LinearFitParams, fit_linear
from bids_app.qsm.field.nonlinear import NonlinearFitParams, fit_nonlinear
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.phase.scaling import to_radians, wrap
from bids_app.qsm.relaxometry.arlo import arlo_applies, r2star_arlo
from bids_app.qsm.relaxometry.loglinear import r2star_loglinear
from bids_app.qsm.unwrap.romeo import romeo, romeo_quality

SHAPE = (31, 28, 25)
TIMES = (0.004, 0.009, 0.014, 0.019)


def coordinates():
    return np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")


def signal(noise=0.0, seed=0):
    x, y, z = coordinates()
    field = (60 * np.exp(-3 * ((x - 0.2) ** 2 + y**2 + z**2)) + 20 * x).astype(np.float32)
    r2star = 20 + 15 * x
    offset = 1.5 * x + 2 * y + 1
    clean = np.stack([100 * np.exp(-t * r2star) * np.exp(1j * (2 * np.pi * field * t + offset)) for t in TIMES])
    rng = np.random.default_rng(seed)
    data = clean + noise * (rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape))
    return np.abs(data).astype(np.float32), np.angle(data).astype(np.float32), field, r2star


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (-4096, 4094), (-1.3, 7.7)])
def test_stored_phase_becomes_radians(low, high):
    _, phase, *_ = signal()
    circle = {4095: 4096, 4094: 8192}.get(high, high - low)
    phase.flat[:2] = -np.pi, np.pi  # wrapped phase fills its range
    stored = low + (phase + np.pi) / (2 * np.pi) * circle
    stored = np.clip(np.rint(stored) if circle > 100 else stored, low, high)
    scaled = to_radians(stored)
    assert np.abs(wrap(scaled.phase - phase)).max() < 0.002
    assert "radians" in scaled.note
    values = stored.astype(np.float32)
    over = to_radians(values, overwrite=True)
    assert np.shares_memory(over.phase, values)
    np.testing.assert_array_equal(over.phase, to_radians(stored.astype(np.float32)).phase)


def test_constant_phase_is_refused():
    with pytest.raises(ValueError, match="one constant value"):
        to_radians(np.full((3, 3), 7.0))


def test_values_that_are_not_finite_are_zero_and_said():
    scaled = to_radians(np.array([np.nan, -np.pi, np.pi, 0.5]))
    assert scaled.phase[0] == 0
    assert "1 voxels" in scaled.note


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.floats(0.5, 20))
def test_romeo_is_exact_where_neighbours_differ_by_less_than_pi(seed, height):
    x, y, z = coordinates()
    centre = np.random.default_rng(seed).uniform(-0.5, 0.5, 3)
    bump = np.exp(-3 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2))
    truth = (height * bump).astype(np.float32)
    unwrapped = romeo(wrap(truth))
    turns = (unwrapped - truth) / (2 * np.pi)
    assert np.abs(turns - np.rint(turns.flat[0])).max() < 1e-3


def test_romeo_unwraps_every_part_and_leaves_the_outside_zero():
    mask = np.zeros(SHAPE, bool)
    mask[2:10], mask[15:28] = True, True
    x, _, _ = coordinates()
    truth = 12 * x
    unwrapped = romeo(wrap(truth), mask)
    assert not unwrapped[~mask].any()
    for part in (slice(2, 10), slice(15, 28)):
        turns = (unwrapped - truth)[part] / (2 * np.pi)
        assert np.ptp(turns) < 1e-3


def test_adding_turns_to_the_input_changes_nothing():
    magnitude, phase, *_ = signal(2.0)
    turned = phase + 2 * np.pi * np.random.default_rng(1).integers(-2, 3, phase.shape)
    first = romeo(phase, magnitude=magnitude, echo_times=TIMES)
    assert np.array_equal(first, romeo(phase, magnitude=magnitude * 8, echo_times=TIMES))
    np.testing.assert_allclose(first, romeo(wrap(turned), magnitude=magnitude, echo_times=TIMES), atol=1e-4)


def test_quality_is_low_in_noise():
    magnitude, phase, *_ = signal(1.0)
    phase[:, :10] = np.random.default_rng(0).uniform(-np.pi, np.pi, phase[:, :10].shape)
    quality = romeo_quality(phase, magnitude=magnitude, echo_times=TIMES)
    assert quality.min() >= 0
    assert quality.max() <= 1
    assert quality[14:-2, 2:-2, 2:-2].mean() > 2 * quality[:8, 2:-2, 2:-2].mean()


PARAMS = {fit_linear: LinearFitParams, fit_nonlinear: NonlinearFitParams}
FITS = list(PARAMS)
GRIDS = [None, Grid(SHAPE, (2.0, 2.0, 2.0))]


def fitted(noise, seed, fit=fit_linear, grid=None):
    magnitude, phase, field, _ = signal(noise, seed)
    corrected = mcpc3ds(phase, magnitude, TIMES, None, Grid(SHAPE)).phase
    unwrapped = romeo(corrected, magnitude=magnitude, echo_times=TIMES)
    return fit(unwrapped, magnitude, TIMES, np.ones(SHAPE, bool), grid=grid), field


@pytest.mark.parametrize("fit", FITS)
def test_field_is_right_without_noise(fit):
    result, field = fitted(0.0, 0, fit)
    assert np.abs(result.field_hz - field).max() < 0.02
    assert result.residual_rad.max() < 2e-3


@pytest.mark.parametrize("fit", FITS)
def test_a_smooth_intercept_takes_what_is_left_of_the_offset_and_less_noise(fit):
    x, y, z = coordinates()
    magnitude, _, field, _ = signal()
    left = 0.3 * np.exp(-((x - 0.3) ** 2) - y**2) - 0.1 * z
    rng = np.random.default_rng(0)
    clean = np.stack([2 * np.pi * field * np.float32(t) + left for t in TIMES])
    noisy = (clean + 2.0 * rng.standard_normal(clean.shape) / magnitude).astype(np.float32)
    mask, grid, before = np.ones(SHAPE, bool), Grid(SHAPE, (1.0, 1.0, 1.5)), noisy.copy()
    smooth, free, zero = (
        fit(noisy, magnitude, TIMES, mask, grid=grid, params=PARAMS[fit](kind, 2.0))
        for kind in ("auto", "free", "zero")
    )
    np.testing.assert_array_equal(noisy, before)
    inner = (slice(5, -5),) * 3
    assert np.abs(smooth.intercept_rad - left)[inner].max() < 0.06
    errors = [float(np.std((f.field_hz - field)[inner])) for f in (smooth, free, zero)]
    assert errors[0] < 0.75 * errors[1]
    assert errors[0] < 0.75 * errors[2]
    assert np.median(smooth.sd_hz) < 0.75 * np.median(free.sd_hz)


def test_whole_turns_do_not_count_in_a_smooth_intercept_and_it_needs_a_voxel_size():
    magnitude, _, field, _ = signal()
    unwrapped = np.stack([2 * np.pi * field * np.float32(t) for t in TIMES]) + np.float32(np.pi - 0.01)
    unwrapped[:, ::2] -= np.float32(2 * np.pi)
    mask = np.ones(SHAPE, bool)
    result = fit_linear(unwrapped, magnitude, TIMES, mask, grid=Grid(SHAPE))
    assert np.abs(np.abs(result.intercept_rad) - np.pi + 0.01).max() < 1e-3
    with pytest.raises(ValueError, match="voxel size"):
        fit_linear(unwrapped, magnitude, TIMES, mask, params=LinearFitParams("smooth"))
    with pytest.raises(ValueError, match="two echoes"):
        fit_linear(unwrapped[:1], None, TIMES[:1], mask, grid=Grid(SHAPE), params=LinearFitParams("smooth"))
    nothing = fit_linear(unwrapped, magnitude, TIMES, ~mask, grid=Grid(SHAPE))
    assert not nothing.field_hz.any()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("fit", FITS)
def test_standard_error_agrees_with_the_spread_over_noise_draws(fit, grid):
    fits = [fitted(3.0, seed, fit, grid)[0] for seed in range(16)]
    spread = np.stack([result.field_hz for result in fits]).std(axis=0, ddof=1)
    for region in (slice(0, 12), slice(12, 20), slice(20, None)):  # R2* and with it the noise differ along x
        ratio = np.sqrt(np.mean(fits[0].sd_hz[region] ** 2) / np.mean(spread[region] ** 2))
        assert 0.85 < ratio < 1.15


def test_the_complex_fit_forgives_an_echo_with_a_wrong_turn_and_says_its_iterations():
    magnitude, _, field, _ = signal()
    magnitude[3] *= 0.5
    unwrapped = np.stack([2 * np.pi * field * np.float32(t) for t in TIMES])
    unwrapped[3, :15] += 2 * np.pi
    line = fit_linear(unwrapped, magnitude, TIMES, np.ones(SHAPE, bool))
    fit = fit_nonlinear(unwrapped, magnitude, TIMES, np.ones(SHAPE, bool))
    assert np.abs(line.field_hz - field)[:15].min() > 5
    assert np.abs(fit.field_hz - field).max() < 0.01
    assert 2 <= fit.iterations <= NonlinearFitParams().iterations
    few = fit_nonlinear(unwrapped, magnitude, TIMES, np.ones(SHAPE, bool), params=NonlinearFitParams(iterations=2))
    assert few.iterations == 2


@pytest.mark.parametrize("fit", FITS)
def test_without_magnitude_all_echoes_weigh_the_same_and_what_is_not_finite_is_left_out(fit):
    _, _, field, _ = signal()
    unwrapped = np.stack([2 * np.pi * field * np.float32(t) for t in TIMES])
    unwrapped[2, 5, 5, 5] = np.nan
    mask = np.ones(SHAPE, bool)
    mask[:3] = False
    result = fit(unwrapped, None, TIMES, mask)
    equal = fit(unwrapped, np.ones_like(unwrapped), TIMES, mask)
    np.testing.assert_array_equal(result.field_hz, equal.field_hz)
    assert result.field_hz[5, 5, 5] == 0
    assert not result.sd_hz[:3].any()


def test_free_intercept_needs_two_echoes():
    ones = np.zeros((1, *SHAPE), np.float32)
    with pytest.raises(ValueError, match="two echoes"):
        fit_linear(ones, None, (0.01,), np.ones(SHAPE, bool), params=LinearFitParams("free"))


@pytest.mark.parametrize("method", [r2star_arlo, r2star_loglinear])
def test_r2star(method):
    magnitude, _, _, r2star = signal()
    maps = method(magnitude, TIMES, np.ones(SHAPE, bool))
    np.testing.assert_allclose(maps.r2star, r2star, rtol=1e-3)
    np.testing.assert_allclose(maps.t2star, 1 / r2star, rtol=1e-3)
    np.testing.assert_allclose(maps.s0, 100, rtol=1e-3)


def test_arlo_knows_where_it_applies():
    assert arlo_applies(TIMES)
    assert not arlo_applies((0.004, 0.009, 0.020))
    assert not arlo_applies((0.004, 0.009))
