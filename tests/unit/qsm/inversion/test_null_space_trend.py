"""Smooth trends that no field can tell: which they are, and that like tissue tells them."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.null_space_trend import appearance, field_of_trend, null_space_polynomials, null_space_trend
from bids_app.qsm.operators.dipole import forward_field

#: The module: its family calls the method of the same name by it.
MODULE = sys.modules[null_space_trend.__module__]
SHAPE, VOXEL = (40, 44, 36), (4.0, 4.0, 4.0)
B0 = (0.2, -0.1, np.sqrt(1 - 0.05))
GRID = Grid(SHAPE, VOXEL, B0)
X, Y, Z = np.meshgrid(*[((np.arange(n) - n / 2) * 4).astype(np.float32) for n in SHAPE], indexing="ij")
HEAD = X**2 / 65**2 + Y**2 / 78**2 + Z**2 / 60**2 < 1
RNG = np.random.default_rng(0)
#: Three tissues in pieces of some voxels, their susceptibility in ppm and signal.
TISSUE = np.digitize(ndimage.gaussian_filter(RNG.standard_normal(SHAPE), 0.8), (-0.1, 0.1))
CHI = (np.array([-0.03, 0.01, 0.05], np.float32)[TISSUE] + RNG.normal(0, 0.005, SHAPE).astype(np.float32)) * HEAD
SHADING = (1 + 0.5 * X / 65 + 0.3 * Y / 78).astype(np.float32)
SIGNAL = (np.array([70, 100, 85], np.float32)[TISSUE] + RNG.normal(0, 2, SHAPE).astype(np.float32)) * SHADING
PROPERTIES = appearance(SIGNAL, HEAD, GRID)
#: ppm: along B0 and across it.
LINEAR = (0.01 * Z / 60 - 0.006 * X / 65).astype(np.float32)


def polynomial(exponents, coefficients, x, y, z):
    return sum(c * x**a * y**b * z**d for (a, b, d), c in zip(exponents, coefficients, strict=True))


def sd(array):
    return float(np.std(array[HEAD]))


@settings(max_examples=25, deadline=None)
@given(direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: np.linalg.norm(d) > 0.1))
def test_polynomials_solve_the_equation_of_what_no_field_can_tell(direction):
    """Second differences of a polynomial of third degree are its derivatives; along B0 they are twice the mean."""
    b0 = np.array(direction) / np.linalg.norm(direction)
    exponents, polynomials = null_space_polynomials(3, b0)
    assert polynomials.shape[1] == 3 + 5 + 7
    assert np.linalg.matrix_rank(polynomials) == 15
    points, step = np.random.default_rng(1).uniform(-1, 1, (3, 20)), 0.1
    for column in polynomials.T:

        def second(vector, coefficients=column):
            at = [polynomial(exponents, coefficients, *(points + s * step * vector[:, None])) for s in (-1, 0, 1)]
            return (at[0] - 2 * at[1] + at[2]) / step**2

        laplacian = sum(second(axis) for axis in np.eye(3))
        np.testing.assert_allclose(laplacian / 3, second(b0), atol=1e-9)


@pytest.mark.parametrize("degree", [1, 2, 4])
def test_the_field_of_such_a_polynomial_is_harmonic_inside_the_object(degree):
    """And that of the square of the place along B0, which is none of them, is not."""
    exponents, polynomials = null_space_polynomials(degree, B0)
    place = (X / 60, Y / 60, Z / 60)
    fading = ndimage.gaussian_filter(HEAD.astype(np.float32), 2)  # the oblique kernel rings along a sharp surface
    deep = fading > 0.999

    def laplacian(chi):
        field = forward_field((chi * fading).astype(np.float32), GRID)
        return float(np.sqrt(np.mean(ndimage.laplace(field)[deep] ** 2)) / np.std(chi[HEAD]))

    seen = laplacian(sum(b * p for b, p in zip(B0, place, strict=True)) ** 2)
    separate = [
        n
        for n, column in enumerate(polynomials.T)
        if any(sum(e) == degree for e, c in zip(exponents, column, strict=True) if c)
    ]
    assert len(separate) == 2 * degree + 1
    for n in separate:
        assert laplacian(polynomial(exponents, polynomials[:, n], *place)) < 0.1 * seen


def test_a_trend_is_found_beneath_tissue_that_looks_alike():
    trend = null_space_trend(CHI + LINEAR, HEAD, GRID, PROPERTIES)
    assert sd(CHI + LINEAR - trend - CHI) < 0.2 * sd(LINEAR)


def test_what_tissue_looks_like_tells_it_better_than_the_map_alone():
    known, alone = (null_space_trend(CHI + LINEAR, HEAD, GRID, properties) for properties in (PROPERTIES, ()))
    assert sd(known - LINEAR) < 0.25 * sd(alone - LINEAR)


def test_where_tissue_changes_with_the_place_its_look_keeps_it_from_being_taken_for_a_trend():
    """More of the darkest tissue above, as white matter in a head: the map's trend is the tissue's own."""
    upper = np.where((Z > 0) & (RNG.random(SHAPE) < 0.6), 0, TISSUE)
    chi = np.array([-0.03, 0.01, 0.05], np.float32)[upper] * HEAD
    signal = np.array([70, 100, 85], np.float32)[upper] * SHADING
    known = null_space_trend(chi, HEAD, GRID, appearance(signal, HEAD, GRID))
    blind = null_space_trend(chi, HEAD, GRID, ())
    assert sd(blind) > 0.005
    assert sd(known) < 0.2 * sd(blind)


def test_veins_and_bleedings_do_not_make_one():
    chi = np.where((X > 30) & (Z > 20), np.float32(1), CHI) * HEAD
    trend = null_space_trend(chi, HEAD, GRID, PROPERTIES)
    assert sd(trend) < 0.05 * sd(chi)


def test_what_the_data_are_not_sure_of_is_drawn_towards_zero(monkeypatch):
    """Pieces of 40 mm with a level of their own: chance makes trends of them, which are not believed wholly."""
    level = ndimage.zoom(RNG.normal(0, 0.01, (4, 5, 4)), (10, 8.8, 9), order=0).astype(np.float32)
    chi = CHI + level * HEAD
    believed = [sd(null_space_trend(values, HEAD, GRID, PROPERTIES)) for values in (chi, CHI + LINEAR)]
    monkeypatch.setattr(MODULE, "_CAUTION", 0.0)
    spreads = [sd(null_space_trend(values, HEAD, GRID, PROPERTIES)) for values in (chi, CHI + LINEAR)]
    assert believed[0] < 0.92 * spreads[0]
    assert believed[1] > 0.97 * spreads[1]


def test_more_voxels_than_are_needed_change_little(monkeypatch):
    whole = null_space_trend(CHI + LINEAR, HEAD, GRID, PROPERTIES)
    monkeypatch.setattr(MODULE, "_SAMPLE", 5000)
    assert sd(null_space_trend(CHI + LINEAR, HEAD, GRID, PROPERTIES) - whole) < 0.2 * sd(LINEAR)


def test_it_is_float32_with_mean_0_inside_and_0_outside_and_no_input_changes():
    chi = CHI + LINEAR
    before = [array.copy() for array in (chi, HEAD, *PROPERTIES)]
    trend = null_space_trend(chi, HEAD, GRID, PROPERTIES)
    assert trend.dtype == np.float32
    assert not trend[~HEAD].any()
    assert abs(trend[HEAD].mean(dtype=np.float64)) < 1e-8
    for array, old in zip((chi, HEAD, *PROPERTIES), before, strict=True):
        np.testing.assert_array_equal(array, old)
    np.testing.assert_array_equal(null_space_trend(chi, HEAD, GRID, PROPERTIES), trend)


@settings(max_examples=8, deadline=None)
@given(axes=st.permutations((0, 1, 2)), flips=st.tuples(*[st.booleans()] * 3), scale=st.sampled_from((0.01, 100.0)))
def test_order_and_direction_of_the_axes_and_the_unit_do_not_matter(axes, flips, scale):
    """All voxels are in the sample, so that each order has the same; the cubes lie elsewhere."""

    def turned(array):
        return np.ascontiguousarray(np.flip(array.transpose(axes), [n for n in range(3) if flips[n]]))

    b0 = tuple((-1 if flips[n] else 1) * B0[a] for n, a in enumerate(axes))
    grid = Grid(tuple(SHAPE[a] for a in axes), VOXEL, b0)
    trend = null_space_trend(
        turned(CHI + LINEAR) * np.float32(scale), turned(HEAD), grid, [turned(p) for p in PROPERTIES]
    )
    expected = turned(null_space_trend(CHI + LINEAR, HEAD, GRID, PROPERTIES))
    np.testing.assert_allclose(trend / scale, expected, atol=0.03 * np.abs(expected).max())


def test_appearance_is_free_of_shading_and_of_what_is_not_finite():
    """The darkest tissue in the brightest quarter of the shading looks as it does in the darkest one."""
    signal = SIGNAL.copy()
    signal[20, 20, 18] = np.nan
    shade, around = appearance(signal, HEAD, GRID)
    assert np.isfinite(shade).all()
    assert np.isfinite(around).all()
    assert not shade[~HEAD].any()
    dark = ndimage.binary_erosion(HEAD, iterations=5) & (TISSUE == 0)
    left, right = shade[dark & (X < -25)].mean(), shade[dark & (X > 25)].mean()
    assert abs(right / left - 1) < 0.08
    assert SIGNAL[dark & (X > 25)].mean() / SIGNAL[dark & (X < -25)].mean() > 1.5
    assert around[HEAD].std() < shade[HEAD].std()


def test_a_small_object_and_an_empty_one_have_none():
    small = X**2 + Y**2 + Z**2 < 9**2
    assert not null_space_trend(CHI + LINEAR, small, GRID, PROPERTIES).any()
    assert not null_space_trend(CHI, np.zeros(SHAPE, bool), GRID, PROPERTIES).any()


def test_a_constant_map_has_none_and_a_constant_magnitude_is_one_class():
    assert not null_space_trend(HEAD * np.float32(0.03), HEAD, GRID, PROPERTIES).any()
    flat = appearance(np.ones(SHAPE, np.float32), HEAD, GRID)
    alone = null_space_trend(CHI + LINEAR, HEAD, GRID, ())
    one_class = null_space_trend(CHI + LINEAR, HEAD, GRID, (flat[0].round(3),))
    np.testing.assert_allclose(one_class, alone, atol=1e-7)


@pytest.mark.parametrize(("degree", "shape"), [(0, SHAPE), (3, (4, 4, 4))])
def test_degree_and_shapes_are_checked(degree, shape):
    with pytest.raises(ValueError, match="the arrays need the grid's shape, and the degree must be 1 or more"):
        null_space_trend(np.zeros(shape, np.float32), HEAD, GRID, (), degree=degree)


def test_the_field_that_goes_with_it_is_harmonic_and_that_of_the_trend():
    trend = null_space_trend(CHI + LINEAR, HEAD, GRID, PROPERTIES)
    field = field_of_trend(trend, HEAD, GRID)
    assert field.dtype == np.float32
    assert not field[~HEAD].any()
    expected = forward_field(trend, GRID)
    np.testing.assert_allclose(field[HEAD], expected[HEAD], atol=0.05 * np.abs(expected).max())


@pytest.mark.parametrize(
    "flat", [(slice(None), slice(None), slice(18, 19)), (slice(20, 22), slice(None), slice(18, 19))]
)
def test_in_a_flat_object_the_trends_that_differ_in_it_are_told(flat):
    """A slice, a strip: many polynomials are the same there."""
    mask = np.zeros(SHAPE, bool)
    mask[flat] = HEAD[flat]
    trend = null_space_trend(CHI + LINEAR, mask, GRID, PROPERTIES)
    assert np.isfinite(trend).all()
    assert np.abs(trend).max() < 0.05


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.001, 0.1))
def test_scattered_voxels_make_no_error(seed, share):
    mask = HEAD & (np.random.default_rng(seed).random(SHAPE) < share)
    assert np.isfinite(null_space_trend(CHI + LINEAR, mask, GRID, PROPERTIES)).all()
