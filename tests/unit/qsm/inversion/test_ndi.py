"""NDI: the iterates are those of the formula, the sphere of the textbook comes out, and wraps do not count."""

import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.lsqr import LsqrParams, lsqr
from bids_app.qsm.inversion.ndi import NdiParams, ndi
from bids_app.qsm.operators.dipole import dipole_kernel, forward_field
from tests.helpers.sphere import sphere_and_field

GRID = Grid((40, 40, 40), (1.0, 1.0, 1.0), (0.3, -0.2, 0.9))


def test_sphere_in_its_analytic_field():
    _, field, radius = sphere_and_field(GRID, 0.1, 8.0)
    mask, contrasts = np.ones(GRID.shape, bool), []
    for invert, params in ((ndi, NdiParams()), (ndi, NdiParams(iterations=500, tolerance=2e-3)), (lsqr, LsqrParams())):
        estimate = invert(field, mask, GRID, params=params)
        contrasts.append(estimate[radius < 6].mean() - estimate[(radius > 11) & (radius < 18)].mean())
    # No regularisation fills the cone where the kernel vanishes: some contrast is missing, as with LSQR.
    early, late, least_squares = contrasts
    assert 0.065 < early < late < 0.1
    assert late == pytest.approx(least_squares, rel=0.03)


def test_iterates_are_those_of_the_formula():
    grid, rng = Grid((12, 10, 8), (1.0, 1.2, 1.5), (0.2, 0.1, 1.0)), np.random.default_rng(0)
    field = rng.normal(0, 0.05, grid.shape).astype(np.float32)
    weights = (2 * rng.random(grid.shape)).astype(np.float32)
    kernel = dipole_kernel(grid)[..., : grid.shape[2] // 2 + 1]

    def convolve(image):
        return np.fft.irfftn(np.fft.rfftn(image) * kernel, grid.shape, axes=(0, 1, 2))

    expected, trusted = np.zeros(grid.shape), np.minimum(weights, 1.0) ** 2
    for _ in range(5):
        expected -= 1.5 * convolve(trusted * np.sin(20.0 * (convolve(expected) - field)) / 20.0)
    params = NdiParams(iterations=5, tolerance=0.0, step=1.5, phase_scale=20.0, padding=0.0)
    estimate = ndi(field, np.ones(grid.shape, bool), grid, params=params, weights=weights)
    np.testing.assert_allclose(estimate, expected, atol=1e-4 * np.abs(expected).max())


def test_phase_wraps_do_not_change_the_map():
    _, field, radius = sphere_and_field(GRID, 0.1, 8.0)
    wrapped = field + np.where(radius < 12, np.float32(2 * np.pi / 16), np.float32(0))
    mask = np.ones(GRID.shape, bool)
    np.testing.assert_allclose(ndi(wrapped, mask, GRID), ndi(field, mask, GRID), atol=5e-3)


def test_noise_grows_with_the_iterations():
    chi, _, _ = sphere_and_field(GRID, 0.1, 8.0)
    mask = np.ones(GRID.shape, bool)
    clean = forward_field(chi, GRID)
    noisy = clean + np.random.default_rng(0).normal(0, 0.003, GRID.shape).astype(np.float32)
    noise = []
    for iterations in (5, 20, 80):
        params = NdiParams(iterations=iterations, tolerance=0.0)
        noise.append(np.std(ndi(noisy, mask, GRID, params=params) - ndi(clean, mask, GRID, params=params)))
    assert noise[0] < noise[1] < noise[2]
