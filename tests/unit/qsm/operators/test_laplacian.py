import numpy as np
import pytest

from bids_app.qsm.operators.laplacian import PAIRS, difference_weights, noise_gain, point_weights


def laplacian(function, spacing):
    """The 19-point Laplacian at the origin, point by point."""
    centre, along, across = point_weights(spacing)
    steps = np.diag(spacing)
    total = centre * function(np.zeros(3))
    for axis in range(3):
        total += along[axis] * (function(steps[axis]) + function(-steps[axis]))
    for weight, (i, j) in zip(across, PAIRS, strict=True):
        for sign in (1, -1):
            total += weight * (function(steps[i] + sign * steps[j]) + function(-steps[i] - sign * steps[j]))
    return total


def monopole(place):
    return 1 / np.linalg.norm(place - np.array([3.0, -2.0, 4.0]))


@pytest.mark.parametrize("shape", [(1, 1, 1), (0.6, 0.6, 2), (1, 1.5, 0.7)])
def test_a_harmonic_function_passes_to_the_fourth_order(shape):
    coarse, fine = (abs(laplacian(monopole, scale * np.array(shape))) for scale in (0.4, 0.2))
    assert coarse / fine == pytest.approx(2**4, rel=0.25)
    along, _ = difference_weights(tuple(0.4 * np.array(shape)))
    steps = 0.4 * np.diag(shape)
    plain = sum(w * (monopole(s) + monopole(-s) - 2 * monopole(0 * s)) for w, s in zip(along, steps, strict=True))
    assert coarse < 0.1 * abs(plain)


def test_a_curved_function_keeps_its_laplacian():
    spacing = (1.0, 1.5, 2.0)
    assert laplacian(lambda p: p[0] ** 2 + 2 * p[1] ** 2 + 3 * p[2] ** 2, spacing) == pytest.approx(12)
    assert laplacian(lambda p: p[0] * p[1] + p[1] * p[2] + 5 + p[0], spacing) == pytest.approx(0, abs=1e-12)


def test_gain_of_white_noise():
    rng = np.random.default_rng(0)
    draws = [laplacian(lambda _: rng.normal(), (1.0, 1.2, 3.0)) for _ in range(4000)]
    assert np.std(draws) == pytest.approx(noise_gain((1.0, 1.2, 3.0)), rel=0.05)
