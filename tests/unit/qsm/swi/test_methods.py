"""Susceptibility-weighted images by phase masks and by the susceptibility map, against their formulas."""

import numpy as np
import pytest

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.swi import PhaseMaskParams, SmwiParams, TswiParams, phase_mask_swi, smwi, true_swi

GRID = Grid((24, 24, 12), (1.0, 1.0, 2.0))
MASK = np.ones(GRID.shape, bool)
MASK[:2] = False
MAGNITUDE = np.full(GRID.shape, 100, np.float32)
FLAT = np.zeros(GRID.shape, np.float32)


def steps(*values):
    """Return a map with one value in each of some voxels, 0 elsewhere."""
    chi = FLAT.copy()
    chi[5 : 5 + len(values), 12, 6] = values
    return chi


def at(image, count):
    return image[5 : 5 + count, 12, 6].tolist()


def test_tswi_is_a_straight_line_between_the_thresholds():
    chi = steps(-0.2, 0.0, 0.225, 0.45, 0.9)
    result = true_swi(FLAT, MAGNITUDE, MASK, GRID, params=TswiParams(power=2), chi_ppm=chi)
    assert at(result.swi, 5) == pytest.approx([100, 100, 25, 0, 0], abs=1e-3)
    shifted = TswiParams(lower=0.1, upper=0.3, power=1)
    result = true_swi(FLAT, MAGNITUDE, MASK, GRID, params=shifted, chi_ppm=steps(0.1, 0.2, 0.3))
    assert at(result.swi, 3) == pytest.approx([100, 50, 0], abs=1e-3)


def test_tswi_leaves_what_lies_outside_the_mask_as_it_is():
    result = true_swi(FLAT, MAGNITUDE, MASK, GRID, params=TswiParams(lower=-0.5), chi_ppm=FLAT)
    assert (result.swi[~MASK] == 100).all()
    assert (result.swi[MASK] < 100).all()
    assert not result.minip[~MASK].any()


def test_smwi_darkens_the_chosen_sign_alone():
    chi = steps(-2.0, -0.5, 0.0, 0.5, 2.0)
    for source, expected in (("paramagnetic", [100, 100, 100, 6.25, 0]), ("diamagnetic", [0, 6.25, 100, 100, 100])):
        result = smwi(FLAT, MAGNITUDE, MASK, GRID, params=SmwiParams(source=source), chi_ppm=chi)
        assert at(result.swi, 5) == pytest.approx(expected, abs=1e-3)


def test_the_projection_is_the_lowest_value_of_a_slab_in_mm():
    params = SmwiParams(thickness=6)
    result = smwi(FLAT, MAGNITUDE, MASK, GRID, params=params, chi_ppm=steps(2.0))
    assert np.flatnonzero(result.minip[5, 12] == 0).tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("shape", "positive", "negative"),
    [("positive", 0.5, 1.0), ("negative", 1.0, 0.5), ("triangular", 0.5, 0.5), ("sigmoid", 0.5, 1.0)],
)
def test_phase_masks_at_a_quarter_turn(shape, positive, negative):
    # 12.5 Hz at 20 ms are a quarter turn. The local mean of single voxels is nearly that of the rest: 0.
    field = steps(12.5, 0, 0, 0, 0, 0, -12.5)
    params = PhaseMaskParams(shape=shape, power=1, high_pass=6)
    result = phase_mask_swi(field, MAGNITUDE, MASK, GRID, params=params, echo_time=0.02)
    first, *rest, last = at(result.swi, 7)
    assert (first / 100, last / 100) == pytest.approx((positive, negative), abs=0.02)
    assert rest == pytest.approx([100] * 5, abs=2)


def test_phase_masks_see_neither_slow_fields_nor_wraps():
    ramp = np.broadcast_to(np.linspace(-3, 3, 24, dtype=np.float32)[:, None, None], GRID.shape)
    inner = (slice(8, -8), slice(8, -8), slice(4, -4))
    slow = phase_mask_swi(ramp, MAGNITUDE, MASK, GRID, params=PhaseMaskParams(high_pass=2), echo_time=0.02).swi
    assert slow[inner] == pytest.approx(100, abs=1)
    field = steps(12.5)
    first, turned = (
        phase_mask_swi(data, MAGNITUDE, MASK, GRID, echo_time=0.02).swi for data in (field, field + np.float32(50))
    )
    np.testing.assert_allclose(first, turned, atol=0.05)


def test_the_echo_time_of_the_parameters_counts_before_the_given_one():
    field = steps(12.5)
    first = phase_mask_swi(field, MAGNITUDE, MASK, GRID, params=PhaseMaskParams(echo_time=20), echo_time=0.001)
    other = phase_mask_swi(field, MAGNITUDE, MASK, GRID, echo_time=0.02)
    np.testing.assert_allclose(first.swi, other.swi, atol=1e-3)
    with pytest.raises(ValueError, match="needs an echo time"):
        phase_mask_swi(field, MAGNITUDE, MASK, GRID)


@pytest.mark.parametrize("name", ["tswi", "smwi"])
def test_methods_of_the_map_need_it_on_the_grid(name):
    method = qsm.SWI[name]
    assert method.needs == ("chi",)
    with pytest.raises(ValueError, match="give chi_ppm"):
        method(FLAT, MAGNITUDE, MASK, GRID)
    with pytest.raises(ValueError, match=r"map has shape \(10, .*, the grid"):
        method(FLAT, MAGNITUDE, MASK, GRID, chi_ppm=FLAT[:10])


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"swi\.tswi\.upper"):
        true_swi(FLAT, MAGNITUDE, MASK, GRID, params=TswiParams(lower=0.5), chi_ppm=FLAT)
