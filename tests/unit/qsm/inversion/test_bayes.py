"""When the default inversion stops, and what its kernel of missing data gives."""

import numpy as np
import pytest
from scipy import ndimage

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.empirical_bayes import BayesParams
from bids_app.qsm.kernels.bayes import mix
from bids_app.qsm.operators.dipole import forward_field

GRID = Grid((40, 40, 40), (2.0, 2.0, 2.0))
X, Y, Z = np.ogrid[-20:20, -20:20, -20:20]
BALL = X * X + Y * Y + Z * Z < 17**2


def smooth_noise(rng):
    """Return noise in the ball that looks like tissue, of SD 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(GRID.shape), 1.5)
    return (noise / noise.std()).astype(np.float32) * BALL


def field_of_a_head(error):
    """Return the field (ppm) of tissue and three nuclei, with field that no susceptibility makes."""
    rng = np.random.default_rng(0)
    chi = np.float32(0.03) * smooth_noise(rng)
    for (a, b, c), radius in (((8, 0, 0), 3), ((-8, 4, 3), 4), ((0, -9, -4), 3)):
        chi[(X - a) ** 2 + (Y - b) ** 2 + (Z - c) ** 2 < radius**2] = 0.12
    field = forward_field(chi, GRID)
    return field + np.float32(error * field[BALL].std()) * smooth_noise(rng)


def iterations_and_map(field, mask, **params):
    done = []
    chosen = BayesParams(detail=0, amplitude=0.0, tolerance=0.0, **params)
    chi = qsm.INVERSIONS["bayes"](field * mask, mask, GRID, params=chosen, progress=lambda n, _: done.append(n))
    return done[-1], chi


def test_an_isotropic_field_takes_all_iterations():
    assert iterations_and_map(field_of_a_head(0.0), BALL)[0] == 4 * 3


def test_an_iteration_that_fits_certain_voxels_less_well_is_undone():
    """A slab of a head, as the blocks of real heads: its field has sources beyond the cuts, and error."""
    field, slab = field_of_a_head(0.6), BALL & (np.abs(X) < 5)
    iterations, chi = iterations_and_map(field, slab)
    kept = iterations // 3 - 1
    assert 1 <= kept < 3
    np.testing.assert_array_equal(chi, iterations_and_map(field, slab, outer_iterations=kept)[1])


def test_the_misfit_is_that_of_the_map_by_the_new_certainty():
    rng = np.random.default_rng(1)
    field, expected, weight = (rng.standard_normal((5, 6, 7)).astype(np.float32) for _ in range(3))
    weight, limit, share = np.abs(weight), np.float32(0.8), np.float32(0.9)
    mixed, certainty = expected.copy(), np.empty_like(field)
    misfit = mix(field, mixed, share, weight, limit, certainty)
    residual = field - share * expected
    wanted = (np.minimum(2 * weight, 1) * limit / np.maximum(np.abs(residual), limit)) ** 2
    np.testing.assert_allclose(certainty, wanted, rtol=1e-5)
    np.testing.assert_allclose(mixed, share * expected + wanted * residual, rtol=1e-4, atol=1e-6)
    assert misfit == pytest.approx(float(np.sum(wanted * (field - expected) ** 2)), rel=1e-4)
