"""LSQR: the iterates are the textbook's, stopping early is the regularisation, and the method is found by itself."""

import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import lsqr as reference

from bids_app import qsm
from bids_app.cli.explain import explain
from bids_app.model.settings import build_settings
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.lsqr import LSQR, LsqrParams, lsqr
from bids_app.qsm.inversion.problem import prepare
from bids_app.qsm.operators.dipole import dipole_kernel, forward_field
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.report.methods.text import SENTENCES

GRID = Grid((24, 20, 18), (1.0, 1.2, 1.5), (0.2, 0.1, 1.0))


def problem(noise=0.0):
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in GRID.shape], indexing="ij")
    mask = x**2 + y**2 + (1.3 * z) ** 2 < 81
    chi = 0.1 * ((x - 2) ** 2 + y**2 + z**2 < 9) - 0.05 * ((x + 4) ** 2 + y**2 + z**2 < 6)
    field = forward_field(chi.astype(np.float32), GRID) + noise * rng.standard_normal(GRID.shape, np.float32)
    return chi, mask, field.astype(np.float32), (0.5 + rng.random(GRID.shape)).astype(np.float32)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_iterates_are_those_of_scipys_lsqr(steps):
    _, mask, field, weights = problem()
    prepared = prepare(field, mask, GRID, 4.0, weights)
    shape, kernel, weight = prepared.grid.shape, dipole_kernel(prepared.grid), prepared.weight.reshape(-1)

    def convolve(vector):
        return irfftn(rfftn(vector.reshape(shape).astype(np.float32)) * kernel, shape).reshape(-1)

    operator = LinearOperator(
        (weight.size,) * 2, matvec=lambda v: weight * convolve(v), rmatvec=lambda v: convolve(weight * v), dtype="f8"
    )
    solution = reference(operator, weight * prepared.field.reshape(-1), iter_lim=steps, atol=0, btol=0)[0]
    expected = prepared.finish(solution.reshape(shape).astype(np.float32))
    params = LsqrParams(iterations=steps, tolerance=0.0, padding=4.0)
    estimate = lsqr(field, mask, GRID, params=params, weights=weights)
    np.testing.assert_allclose(estimate, expected, atol=2e-4 * np.abs(expected).max())


def test_the_error_falls_and_noise_grows_with_the_iterations():
    chi, mask, field, _ = problem()
    noisy = problem(noise=0.003)[2]
    errors, noise = [], []
    for iterations in (1, 5, 50):
        params = LsqrParams(iterations=iterations, tolerance=0.0)
        estimate, spoilt = lsqr(field, mask, GRID, params=params), lsqr(noisy, mask, GRID, params=params)
        errors.append(np.linalg.norm((estimate - chi)[mask]) / np.linalg.norm(chi[mask]))
        noise.append(np.std((spoilt - estimate)[mask]))
        assert not estimate[~mask].any()
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.5
    assert noise[0] < noise[1] < noise[2]


def test_the_tolerance_ends_the_iteration_and_says_so():
    _, mask, field, _ = problem()
    counts = []
    for tolerance in (0.3, 0.03):
        info = {}
        lsqr(field, mask, GRID, params=LsqrParams(iterations=200, tolerance=tolerance), info=info)
        counts.append(info["iterations"])
    assert 1 <= counts[0] < counts[1] < 200
    assert not lsqr(0 * field, mask, GRID).any()


def test_registry_settings_explanation_and_methods_text_know_the_method():
    assert qsm.INVERSIONS["lsqr"] is LSQR
    chosen = build_settings({"inversion": {"method": "lsqr", "lsqr": {"iterations": 9}}})
    assert chosen.inversion.of(LSQR) == LsqrParams(iterations=9)
    assert explain("inversion.lsqr").startswith("LSQR: ")
    assert "[li2015; paige1982]" in SENTENCES["lsqr"]
