"""Every operator has its adjoint: <A x, y> = <x, A^T y> over shapes, voxel sizes and directions of B0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import DipoleConvolution
from bids_app.qsm.operators.fft import irfftn, irfftn_cropped, rfftn, rfftn_padded
from bids_app.qsm.operators.gradient import gradient, gradient_adjoint
from bids_app.qsm.operators.laplacian import laplacian
from bids_app.qsm.operators.resample import block_sums, repeat_blocks
from bids_app.qsm.operators.smoothing import gaussian, gaussian_adjoint
from bids_app.qsm.operators.sphere import SphereMean

SIZES = st.tuples(*[st.floats(0.5, 3)] * 3)
DIRECTIONS = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda b: np.linalg.norm(b) > 0.1)


@st.composite
def grids(draw, least=2, most=13):
    shape = draw(st.tuples(*[st.integers(least, most)] * 3))
    return Grid(shape, draw(SIZES), draw(DIRECTIONS))


def dot_test(forward, adjoint, source_shape, image_shape, seed):
    """Compare both products for random arrays, relative to the sizes of what is multiplied."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=source_shape).astype(np.float32)
    y = rng.normal(size=image_shape).astype(np.float32)
    image, back = forward(x.copy()), adjoint(y.copy())
    assert image.shape == y.shape and back.shape == x.shape
    left, right = np.vdot(image.astype(np.float64), y), np.vdot(x, back.astype(np.float64))
    scale = np.linalg.norm(image) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(back)
    assert abs(left - right) <= 2e-6 * scale
    assert scale > 0


@settings(deadline=None, max_examples=25)
@given(grids(), st.integers(0, 1000))
def test_dipole_convolution_on_the_whole_grid(grid, seed):
    dipole = DipoleConvolution(grid)
    dot_test(dipole.field, dipole.adjoint, grid.shape, grid.shape, seed)


@settings(deadline=None, max_examples=25)
@given(grids(least=4), st.integers(0, 1000))
def test_dipole_convolution_in_a_box(grid, seed):
    box = tuple(slice(0, max(1, n - 2)) for n in grid.shape)
    dipole = DipoleConvolution(grid, box)
    dot_test(dipole.field, dipole.adjoint, grid.shape, tuple(part.stop for part in box), seed)


@settings(deadline=None, max_examples=15)
@given(grids(least=3, most=7), st.integers(0, 1000))
def test_curvature_is_the_diagonal_of_the_normal_operator(grid, seed):
    rng = np.random.default_rng(seed)
    box = tuple(slice(0, n - 1) for n in grid.shape)
    dipole = DipoleConvolution(grid, box)
    weight = rng.uniform(0, 2, [part.stop for part in box]).astype(np.float32)
    curvature, place = dipole.curvature(weight), tuple(rng.integers(grid.shape))
    unit = np.zeros(grid.shape, np.float32)
    unit[place] = 1
    assert curvature[place] == pytest.approx(np.sum((weight * dipole.field(unit)) ** 2), rel=1e-3, abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(grids(), st.integers(0, 1000))
def test_gradient(grid, seed):
    dot_test(lambda x: gradient(x, grid), lambda y: gradient_adjoint(y, grid), grid.shape, (3, *grid.shape), seed)


@pytest.mark.parametrize("points", [7, 19])
@settings(deadline=None, max_examples=25)
@given(grids(), st.integers(0, 1000))
def test_laplacian(points, grid, seed):
    def apply(array):
        return laplacian(array, grid, points=points)

    dot_test(apply, apply, grid.shape, grid.shape, seed)


@settings(deadline=None, max_examples=25)
@given(grids(), st.integers(0, 1000))
def test_the_7_points_are_the_divergence_of_the_gradient_away_from_the_faces(grid, seed):
    array = np.zeros(grid.shape, np.float32)
    inner = tuple(slice(1, -1) for _ in range(3))
    array[inner] = np.random.default_rng(seed).normal(size=array[inner].shape)
    expected = -gradient_adjoint(gradient(array, grid), grid)
    np.testing.assert_allclose(laplacian(array, grid, points=7), expected, atol=2e-5 * (1 + np.abs(expected).max()))


@settings(deadline=None, max_examples=25)
@given(grids(), st.floats(0.5, 4), st.integers(0, 1000))
def test_mean_over_a_sphere(grid, radius, seed):
    sphere = SphereMean(radius, grid)
    dot_test(sphere.mean, sphere.mean, grid.shape, grid.shape, seed)
    dot_test(sphere.high_pass, sphere.high_pass, grid.shape, grid.shape, seed)
    array = np.random.default_rng(seed).normal(size=grid.shape).astype(np.float32)
    np.testing.assert_allclose(sphere.high_pass(array), array - sphere.mean(array), atol=2e-5)


@settings(deadline=None, max_examples=25)
@given(grids(), st.tuples(*[st.floats(0, 3)] * 3), st.integers(0, 1000))
def test_gaussian_smoothing(grid, sigma, seed):
    dot_test(lambda x: gaussian(x, sigma), lambda y: gaussian_adjoint(y, sigma), grid.shape, grid.shape, seed)


@settings(deadline=None, max_examples=25)
@given(grids(least=3), st.floats(0, 8), st.integers(0, 3), st.integers(0, 1000))
def test_crop_and_put(grid, padding, margin, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(grid.shape) < 0.1
    mask[tuple(rng.integers(grid.shape))] = True
    for crop in (Crop.around(mask, grid, padding), Crop.with_margin(mask, grid, margin)):
        dot_test(crop.take, lambda y, crop=crop: crop.put(y, grid.shape), grid.shape, crop.grid.shape, seed)
        volume = rng.normal(size=grid.shape).astype(np.float32)
        assert np.array_equal(crop.put(crop.take(volume), grid.shape)[mask], volume[mask])
        assert np.array_equal(crop.take_clean(volume, mask), crop.take(np.where(mask, volume, 0)))


@settings(deadline=None, max_examples=25)
@given(grids(), st.tuples(*[st.sampled_from((1, 2))] * 3), st.integers(0, 1000))
def test_block_sums_and_repeated_blocks(grid, factors, seed):
    coarse = tuple(-(-n // f) for n, f in zip(grid.shape, factors, strict=True))
    dot_test(
        lambda x: block_sums(x, factors), lambda y: repeat_blocks(y, factors, grid.shape), grid.shape, coarse, seed
    )


@settings(deadline=None, max_examples=25)
@given(grids(), st.integers(0, 1000))
def test_padded_transforms_are_transforms_of_the_padded_array_and_cropped_ones_the_part(grid, seed):
    rng = np.random.default_rng(seed)
    small = tuple(max(1, n - 1) for n in grid.shape)
    array = rng.normal(size=small).astype(np.float32)
    padded = np.zeros(grid.shape, np.float32)
    inner = tuple(slice(0, n) for n in small)
    padded[inner] = array
    np.testing.assert_allclose(rfftn_padded(array, grid.shape), rfftn(padded), atol=2e-4)
    np.testing.assert_allclose(irfftn(rfftn(padded), grid.shape), padded, atol=1e-5)
    np.testing.assert_allclose(irfftn_cropped(rfftn(padded), grid.shape, inner), array, atol=1e-5)


def test_a_laplacian_has_7_or_19_points():
    with pytest.raises(ValueError, match="7 or 19 points, not 27"):
        laplacian(np.zeros((3, 3, 3), np.float32), Grid((3, 3, 3)), points=27)
