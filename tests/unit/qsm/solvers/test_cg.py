"""Conjugate gradients, coarse grids first, and the fused systems that they work on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.laplacian import NEIGHBOURS, laplacian
from bids_app.qsm.solvers.cg import LeastSquaresSystem, conjugate_gradients, solve_least_squares, solve_symmetric
from bids_app.qsm.solvers.laplace import LaplaceProblem, solve_laplace
from bids_app.qsm.solvers.multigrid import coarse_to_fine


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 1000))
def test_symmetric_equations_are_solved_in_as_many_steps_as_unknowns(size, seed):
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    matrix = ((turn * rng.uniform(1, 4, size)) @ turn.T).astype(np.float32)
    right = rng.normal(size=size).astype(np.float32)
    calls = []
    solution = solve_symmetric(lambda x: matrix @ x, right, 2 * size, 1e-5, lambda n, total: calls.append((n, total)))
    np.testing.assert_allclose(solution, np.linalg.solve(matrix.astype(float), right), atol=1e-3)
    assert calls == [(n + 1, 2 * size) for n in range(len(calls))]
    assert len(calls) <= size + 2


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 6), st.integers(0, 1000))
def test_least_squares_are_those_of_numpy(columns, more, seed):
    rng = np.random.default_rng(seed)
    turns = np.linalg.qr(rng.normal(size=(columns + more, columns)))[0]
    matrix = (turns * rng.uniform(1, 3, columns)).astype(np.float32)
    data = rng.normal(size=columns + more).astype(np.float32)
    solution = solve_least_squares(lambda x: matrix @ x, lambda r: matrix.T @ r, data, 3 * columns, 1e-6)
    np.testing.assert_allclose(solution, np.linalg.lstsq(matrix.astype(float), data, rcond=None)[0], atol=1e-3)


def test_no_step_is_taken_from_a_solution_and_the_last_step_needs_no_adjoint():
    assert not solve_symmetric(lambda x: x, np.zeros(3, np.float32), 5, 1e-3).any()
    adjoints = []

    def adjoint(residual):
        adjoints.append(1)
        return residual * np.float32(2)

    data = np.arange(1, 4, dtype=np.float32)
    system = LeastSquaresSystem(lambda x: x * np.float32(2), adjoint, data)
    assert conjugate_gradients(system, system.norm, 0.0, 1) == 1
    assert len(adjoints) == 1
    np.testing.assert_allclose(system.solution, data / 2)


def ball(shape=(30, 28, 26)):
    places = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(p**2 for p in places) < 0.8


@pytest.mark.parametrize("levels", [1, 3])
def test_the_fused_solution_of_laplaces_equation_satisfies_the_plain_operator(levels):
    mask = ball()
    interior = ndimage.binary_erosion(mask, NEIGHBOURS)
    values = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
    spacing = (1.0, 1.3, 2.0)
    solution = solve_laplace(LaplaceProblem(values, interior, mask & ~interior, spacing), 500, 1e-6, levels)
    rest = laplacian(solution, Grid(mask.shape, spacing))[interior]
    start = laplacian(np.where(mask & ~interior, values, np.float32(0)), Grid(mask.shape, spacing))[interior]
    assert np.linalg.norm(rest) < 1e-4 * np.linalg.norm(start)
    assert np.array_equal(solution[mask & ~interior], values[mask & ~interior])
    assert not solution[~mask].any()


def test_coarse_grids_come_first_and_give_the_start():
    seen = []

    def solve(problem, start, level):
        seen.append((problem, start, level))
        return problem * 10

    def refine(solution, coarse, fine):
        assert (solution, coarse) == (coarse * 10, fine // 2)
        return solution + 1

    assert coarse_to_fine(8, lambda n: n // 2 if n > 1 else None, refine, solve, 3) == (80, 3)
    assert seen == [(2, None, 2), (4, 21, 1), (8, 41, 0)]
