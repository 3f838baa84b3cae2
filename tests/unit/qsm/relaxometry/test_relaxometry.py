"""R2* in noise and with any echo spacing."""

import numpy as np
import pytest

from bids_app.qsm.relaxometry.arlo import r2star_arlo
from bids_app.qsm.relaxometry.decay import RelaxationParams, noise_level
from bids_app.qsm.relaxometry.loglinear import r2star_loglinear

SHAPE = (20, 20, 20)
EQUAL = tuple(0.004 + 0.005 * n for n in range(6))
UNEQUAL = (0.003, 0.007, 0.013, 0.022, 0.035)


def decay(times, r2star, sigma, seed=0):
    rng = np.random.default_rng(seed)
    signal = np.stack([100 * np.exp(-t * r2star) * np.ones(SHAPE) for t in times]).astype(complex)
    signal += sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    return np.abs(signal).astype(np.float32)


@pytest.mark.parametrize("r2star", [15.0, 60.0, 180.0])
@pytest.mark.parametrize(("method", "times"), [(r2star_arlo, EQUAL), (r2star_loglinear, UNEQUAL)])
def test_the_noise_floor_does_not_bias_r2star(method, times, r2star):
    magnitude = decay(times, r2star, 3.0)
    mask = np.ones(SHAPE, bool)
    known = method(magnitude, times, mask, noise=3.0)
    assert np.median(known.r2star) == pytest.approx(r2star, rel=0.05)
    assert np.median(known.s0) == pytest.approx(100, rel=0.05)


def test_the_correction_is_what_does_it():
    magnitude, mask = decay(UNEQUAL, 180.0, 3.0), np.ones(SHAPE, bool)
    plain = np.median(r2star_loglinear(magnitude, UNEQUAL, mask).r2star)
    known = np.median(r2star_loglinear(magnitude, UNEQUAL, mask, noise=3.0).r2star)
    assert abs(known - 180) < 0.5 * abs(plain - 180)


def test_uneven_spacing_goes_to_the_line():
    magnitude, mask = decay(UNEQUAL, 40.0, 0.5), np.ones(SHAPE, bool)
    np.testing.assert_array_equal(
        r2star_arlo(magnitude, UNEQUAL, mask).r2star, r2star_loglinear(magnitude, UNEQUAL, mask).r2star
    )


def test_what_is_not_finite_or_without_signal_is_zero():
    magnitude, mask = decay(EQUAL, 40.0, 0.5), np.ones(SHAPE, bool)
    magnitude[2, 0, 0, 0], magnitude[:, 1] = np.nan, 0
    for maps in (r2star_arlo(magnitude, EQUAL, mask), r2star_loglinear(magnitude, EQUAL, mask)):
        for data in (maps.r2star, maps.t2star, maps.s0):
            assert np.isfinite(data).all()
            assert data[0, 0, 0] == 0
            assert not data[1].any()


@pytest.mark.parametrize("method", [r2star_arlo, r2star_loglinear])
def test_t2star_has_a_ceiling_where_the_signal_hardly_decays(method):
    magnitude, mask = np.ones((len(EQUAL), *SHAPE), np.float32), np.ones(SHAPE, bool)
    mask[0] = False
    magnitude[:, 1] *= np.exp(-0.1 * np.asarray(EQUAL, np.float32))[:, None, None]  # a T2* of 10 s
    magnitude[:, 2] *= np.exp(-1.01 * np.arange(len(EQUAL), dtype=np.float32))[:, None, None]
    maps = method(magnitude, EQUAL, mask)
    assert not maps.t2star[0].any()
    assert (maps.t2star[1] == 1).all() and (maps.t2star[3:] == 1).all()
    np.testing.assert_allclose(maps.t2star[2], 1 / maps.r2star[2], rtol=1e-5)
    lower = method(magnitude, EQUAL, mask, params=RelaxationParams(t2star_max=0.5)).t2star
    assert lower.max() == 0.5


def test_noise_level_of_air():
    rng = np.random.default_rng(0)
    air = np.abs(rng.normal(0, 7, SHAPE) + 1j * rng.normal(0, 7, SHAPE)).astype(np.float32)
    assert noise_level(air, np.ones(SHAPE, bool)) == pytest.approx(7, rel=0.03)
    assert noise_level(np.zeros(SHAPE, np.float32), np.ones(SHAPE, bool)) == 0
