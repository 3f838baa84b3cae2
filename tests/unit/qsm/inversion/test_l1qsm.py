"""L1-QSM: the kernel minimises what it says, the sphere of the textbook comes out, and outliers make no streaks."""

import numpy as np
import pytest

from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.l1qsm import L1QsmParams, l1qsm
from bids_app.qsm.inversion.nltv import NltvParams, nltv
from bids_app.qsm.kernels.admm import fit_data
from tests.helpers.sphere import sphere_and_field

GRID = Grid((40, 40, 40), (1.0, 1.0, 1.0), (0.3, -0.2, 0.9))
MASK = np.ones(GRID.shape, bool)


def contrast(chi, radius):
    return chi[radius < 6].mean() - chi[(radius > 11) & (radius < 18)].mean()


def test_sphere_in_its_analytic_field():
    _, field, radius = sphere_and_field(GRID, 0.1, 8.0)
    assert contrast(l1qsm(field, MASK, GRID), radius) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(("penalty", "scale"), [(1.0, 0.3), (3.0, 1.3)])
def test_proximal_step_minimises_the_l1_norm_of_the_complex_signal(penalty, scale):
    rng = np.random.default_rng(0)
    field, before, start = (rng.normal(0, 2, (6, 5, 4)).astype(np.float32) for _ in range(3))
    weight = rng.random((6, 5, 4)).astype(np.float32)
    image, dual = before.copy(), start.copy()
    fit_data(image, dual, field, weight, np.float32(penalty), 3, np.float32(scale))
    v = before + start
    y = v - dual
    np.testing.assert_allclose(image, 2 * y - v, atol=1e-5)

    def objective(at):
        return (
            weight * np.abs(np.exp(1j * scale * at) - np.exp(1j * scale * field)) / scale + penalty / 2 * (at - v) ** 2
        )

    trials = np.linspace(-4, 4, 4001)[:, None, None, None]
    assert (objective(y) <= objective(v + trials).min(axis=0) + 1e-3).all()


def test_gross_errors_make_no_streaks():
    _, field, radius = sphere_and_field(GRID, 0.1, 8.0)
    rng = np.random.default_rng(1)
    field += rng.normal(0, 0.001, GRID.shape).astype(np.float32)
    wrong = field + np.where(rng.random(GRID.shape) < 0.01, np.float32(0.1), np.float32(0))
    changes = []
    for invert, params in ((l1qsm, L1QsmParams(lambda_=0.02)), (nltv, NltvParams(lambda_=2e-4))):
        clean, spoiled = (invert(data, MASK, GRID, params=params) for data in (field, wrong))
        assert contrast(clean, radius) == pytest.approx(0.1, abs=0.02)
        changes.append(np.std(spoiled - clean))
    assert changes[0] < 0.7 * changes[1]


def test_phase_wraps_do_not_change_the_map():
    _, field, radius = sphere_and_field(GRID, 0.1, 8.0)
    wrapped = field + np.where(radius < 12, np.float32(2 * np.pi / 16), np.float32(0))
    params = L1QsmParams(lambda_=0.02)
    maps = [l1qsm(data, MASK, GRID, params=params) for data in (field, wrapped)]
    assert contrast(maps[1], radius) == pytest.approx(contrast(maps[0], radius), abs=0.01)


def test_the_weight_is_the_callers_or_from_the_data():
    _, field, _ = sphere_and_field(GRID, 0.1, 8.0)
    given, estimated = {}, {}
    smooth = l1qsm(field, MASK, GRID, params=L1QsmParams(lambda_=1.0), info=given)
    sharp = l1qsm(field, MASK, GRID, info=estimated)
    assert given["regularisation"] == 1.0
    assert "noise_ppm" not in given
    assert 0 < estimated["regularisation"] < 0.1
    assert smooth.std() < sharp.std()
