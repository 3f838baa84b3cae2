"""Where a local field is doubted, and the angle dependence of its error."""

import numpy as np
import pytest
import scipy.fft
from scipy.ndimage import gaussian_filter

from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import BAYES
from bids_app.qsm.inversion.field_error import local_certainty, prior_trust
from bids_app.qsm.inversion.spectra import HALF_STRUCTURED, estimate_spectra, least_risk, structured_share
from bids_app.qsm.operators.dipole import dipole_kernel, forward_field
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.gradient import laplacian_spectrum

GRID = Grid((48, 48, 48), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0))


def _error(estimate, true, where):
    a, b = estimate[where] - estimate[where].mean(), true[where] - true[where].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def _residual(rng):
    residual = rng.standard_normal(GRID.shape).astype(np.float32)
    residual[:16] *= 4
    return residual


def test_certainty_falls_where_the_residual_is_large_and_as_far_as_the_field_is_error():
    residual, known = _residual(np.random.default_rng(0)), np.ones(GRID.shape, bool)
    half, some, none = (local_certainty(residual, known, 100.0, share, GRID) for share in (0.5, 0.95, 1.0))
    assert np.median(half[:10]) == pytest.approx(1 / 4, rel=0.2)  # square root of a variance of 16 times
    assert np.median(half[22:]) > 0.9
    assert np.median(half[:10]) < np.median(some[:10]) < 1
    assert np.all(none == 1)


def test_certainty_does_not_depend_on_the_unit_and_outliers_do_not_spread():
    residual, known = _residual(np.random.default_rng(1)), np.ones(GRID.shape, bool)
    plain = local_certainty(residual, known, 30.0, 0.5, GRID)
    np.testing.assert_allclose(local_certainty(1e-4 * residual, known, 30e-4, 0.5, GRID), plain, rtol=1e-4)
    residual[36, 24, 24] = 1e4
    spoiled = local_certainty(residual, known, 30.0, 0.5, GRID)
    np.testing.assert_allclose(spoiled[34:39, 22:27, 22:27], plain[34:39, 22:27, 22:27], atol=0.1)


def test_certainty_of_a_field_that_a_map_explains_exactly_is_whole():
    nothing = np.zeros(GRID.shape, np.float32)
    assert np.all(local_certainty(nothing, np.ones(GRID.shape, bool), 1.0, 0.5, GRID) == 1)
    assert np.all(local_certainty(nothing, np.zeros(GRID.shape, bool), 1.0, 0.5, GRID) == 1)


def test_priors_are_trusted_less_down_to_seven_tenths_and_wholly_in_error_alone():
    assert [prior_trust(share) for share in (1.0, 0.8, 0.7, 0.6, 0.5, 0.1)] == pytest.approx(
        [1.0, 0.8, 0.7, 0.85, 1.0, 1.0]
    )


def test_bayes_gains_by_a_field_that_is_doubted_at_the_surface():
    """Strong coarse error in the outer voxels, as V-SHARP leaves it, costs the inner part less than it would."""
    rng = np.random.default_rng(3)
    x, y, z = np.meshgrid(*[np.arange(48) - 24.0] * 3, indexing="ij")
    mask = x**2 + y**2 + z**2 < 20**2
    shell = mask & (x**2 + y**2 + z**2 > 17**2)
    chi = (gaussian_filter(rng.standard_normal(GRID.shape), 1.5) * mask).astype(np.float32)
    chi *= 0.05 / chi[mask].std()
    error = gaussian_filter(rng.standard_normal(GRID.shape), 1.5)
    field = forward_field(chi, GRID)
    field += error / error.std() * field[mask].std() * np.where(shell, 2.0, 0.3)
    field = (field * mask).astype(np.float32)
    inner = x**2 + y**2 + z**2 < 15**2
    doubted = _error(BAYES(field, mask, GRID), chi, inner)
    # Of a field without residuals to speak of, every voxel counts the same: outliers are off in both.
    certain = _error(BAYES(field, mask, GRID, weights=np.where(shell, 3.0, 1.0).astype(np.float32)), chi, inner)
    assert doubted < 0.98 * certain or doubted == pytest.approx(certain, rel=0.02)
    assert doubted < 0.9


def test_error_spectra_of_angle_dependent_error():
    """White and structured error of known power are told apart; the expected error uses both."""
    rng = np.random.default_rng(4)
    kernel, laplacian = dipole_kernel(GRID), laplacian_spectrum(GRID)
    axes = [scipy.fft.fftfreq(48), scipy.fft.fftfreq(48), scipy.fft.rfftfreq(48)]
    frequency = np.sqrt(sum(a**2 for a in np.ix_(*axes)))

    def coloured(power):
        return irfftn(
            (rfftn(rng.standard_normal(GRID.shape).astype(np.float32)) * np.sqrt(power)).astype(np.complex64),
            GRID.shape,
        )

    signal = 20 * np.exp(-((frequency / 0.1) ** 2))
    structured = 0.6 * np.exp(-((frequency / 0.12) ** 2)) * structured_share(kernel)
    field = coloured(signal * kernel**2) + coloured(structured) + coloured(np.full(frequency.shape, 0.01))
    spectra = estimate_spectra(rfftn(field), kernel, laplacian, GRID, field.size)
    total = float(structured.mean() + 0.01)
    assert spectra.noise_sd**2 == pytest.approx(total, rel=0.35)
    assert spectra.white / field.size == pytest.approx(0.01, rel=0.3)
    shell = int(0.08 / spectra.width)
    assert spectra.signal[shell] / field.size == pytest.approx(20 * np.exp(-((0.08 / 0.1) ** 2)), rel=0.4)

    def tikhonov(weight, d, _):
        return d / (d**2 + weight)

    chosen = least_risk(tikhonov, np.geomspace(1e-4, 1, 41), spectra)
    assert 1e-4 < chosen < 1
    assert structured_share(np.array([0.0, HALF_STRUCTURED])) == pytest.approx([1.0, 0.5])
