"""R2* without field gradients, and R2'."""

import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.relaxometry.epg import epg_signal
from bids_app.qsm.relaxometry.epg_fit import r2_epg
from bids_app.qsm.relaxometry.field_gradient import GradientParams, r2star_corrected
from bids_app.qsm.relaxometry.r2prime import R2primeParams, r2prime

SHAPE = (12, 10, 16)
GRID, MASK = Grid(SHAPE, (1.0, 1.0, 2.0)), np.ones(SHAPE, bool)
TIMES = (0.004, 0.010, 0.016, 0.022, 0.028)


def echoes(r2star, hz_per_voxel, axis=2, sigma=0.0):
    """Voxels that integrate evenly over a linear field along one axis, and that field in Hz."""
    fine = (np.arange(200) + 0.5) / 200 - 0.5
    loss = [abs(np.exp(2j * np.pi * hz_per_voxel * fine * t).mean()) for t in TIMES]
    rng = np.random.default_rng(1)
    signal = np.stack([100 * np.exp(-r2star * t) * f * np.ones(SHAPE) for t, f in zip(TIMES, loss, strict=True)])
    noise = sigma * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    index = [-1 if a == axis else 1 for a in range(3)]
    field = hz_per_voxel * np.arange(SHAPE[axis]).reshape(index) * np.ones(SHAPE)
    return np.abs(signal + noise).astype(np.float32), field.astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_linear_field_is_corrected_exactly(axis):
    magnitude, field = echoes(20.0, 15.0, axis)
    fit = r2star_corrected(magnitude, TIMES, field, MASK, GRID)
    np.testing.assert_allclose(fit.r2star, 20.0, rtol=1e-3)
    assert fit.valid.all()
    assert fit.gradient_rate.min() > 5
    plain = r2star_corrected(magnitude, TIMES, field, MASK, GRID, params=GradientParams(profile="none"))
    assert plain.r2star.min() > 25


def test_the_quadratic_model_is_near_the_box():
    magnitude, field = echoes(20.0, 10.0)
    fit = r2star_corrected(magnitude, TIMES, field, MASK, GRID, params=GradientParams(profile="gaussian"))
    np.testing.assert_allclose(fit.r2star, 20.0, rtol=0.01)


def test_two_dimensional_slices_are_corrected_across_the_slice_alone():
    magnitude, field = echoes(20.0, 15.0, axis=0)
    fit = r2star_corrected(magnitude, TIMES, field, MASK, GRID, slice_axis=2)
    assert fit.r2star.min() > 25


def test_where_the_signal_is_lost_nothing_is_claimed():
    magnitude, field = echoes(20.0, 80.0)
    fit = r2star_corrected(magnitude, TIMES, field, MASK, GRID)
    assert not fit.valid.any()
    assert not fit.gradient_rate.any()


def test_the_standard_deviation_is_that_of_the_noise():
    magnitude, field = echoes(20.0, 10.0, sigma=1.0)
    fit = r2star_corrected(magnitude, TIMES, field, MASK, GRID, noise=1.0)
    assert fit.r2star.std() == pytest.approx(np.median(fit.r2star_sd), rel=0.3)


def bound_of(model, slope, sigma):
    """Return the Cramer-Rao bound of a rate whose amplitude is unknown too."""
    jacobian = np.stack([model, slope], axis=1)
    return sigma * np.sqrt(np.linalg.inv(jacobian.T @ jacobian)[1, 1])


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.2])
def test_bias_and_spread_of_r2prime_reach_the_cramer_rao_bound(sigma):
    """From gradient echoes in a field gradient and spin echoes with imperfect refocusing to R2', over noise."""
    magnitude, field = echoes(30.0, 8.0, sigma=sigma)
    spacing, r2, angle, rng = 0.010, 18.0, 150.0, np.random.default_rng(2)
    train = 100 * epg_signal(r2, angle, spacing, 12)[:, None, None, None] * np.ones(SHAPE)
    noise = sigma * (rng.standard_normal(train.shape) + 1j * rng.standard_normal(train.shape))
    times = tuple(spacing * (n + 1) for n in range(12))
    spin = r2_epg(np.abs(train + noise).astype(np.float32), times, MASK, GRID, noise=sigma)
    star = r2star_corrected(magnitude, TIMES, field, MASK, GRID, noise=sigma)
    result = r2prime(star.r2star, spin.r2, MASK, r2star_sd=star.r2star_sd, r2_sd=spin.r2_sd)
    t = np.array(TIMES)
    model = 100 * np.exp(-30 * t) * np.sinc(8 * t)
    step = 0.01
    rates = [100 * epg_signal(r2 + d, angle, spacing, 12).astype(float) for d in (-step, 0, step)]
    limits = bound_of(model, t * model, sigma), bound_of(rates[1], (rates[2] - rates[0]) / (2 * step), sigma)
    limit = np.hypot(*limits)
    assert 0.85 * limit < result.r2prime.std() < 1.2 * limit
    # The angle of the spin echoes is averaged over few voxels here: its error is common to all and enters the mean.
    assert result.r2prime.mean() == pytest.approx(12.0, abs=max(3 * limit / np.sqrt(MASK.sum()), 0.1))
    assert np.median(result.sd) == pytest.approx(limit, rel=0.3)


def test_a_field_of_another_shape():
    magnitude, field = echoes(20.0, 10.0)
    with pytest.raises(ValueError, match="shape"):
        r2star_corrected(magnitude, TIMES, field[:-1], MASK, GRID)


def test_r2prime_and_its_error():
    star, r2 = np.full(SHAPE, 30, np.float32), np.full(SHAPE, 18, np.float32)
    sd = np.full(SHAPE, 3, np.float32)
    result = r2prime(star, r2, MASK, r2star_sd=sd, r2_sd=4 * sd / 3)
    np.testing.assert_allclose(result.r2prime, 12)
    np.testing.assert_allclose(result.sd, 5)
    assert result.negative_share == 0


def test_significantly_negative_values_are_counted_and_set_to_zero():
    star, r2 = np.full(SHAPE, 30, np.float32), np.full(SHAPE, 18, np.float32)
    star[0], star[1] = 10, 17.5
    sd = np.full(SHAPE, 1, np.float32)
    result = r2prime(star, r2, MASK, r2star_sd=sd, r2_sd=sd)
    assert result.negative_share == pytest.approx(1 / SHAPE[0])
    assert not result.r2prime[:2].any()


def test_voxels_that_are_too_uncertain_are_not_valid():
    star, r2 = np.full(SHAPE, 30, np.float32), np.full(SHAPE, 18, np.float32)
    sd = np.full(SHAPE, 1, np.float32)
    sd[3] = 100
    r2[4], star[5] = 0, np.nan
    result = r2prime(star, r2, MASK, r2star_sd=sd, params=R2primeParams(sd_max=50))
    for plane in (3, 4, 5):
        assert not result.valid[plane].any()
        assert not result.r2prime[plane].any()
    assert result.valid[0].all()
