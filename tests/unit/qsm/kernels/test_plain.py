"""The fused kernels compute what the plain operators do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels import laplace, sources, spectrum
from bids_app.qsm.kernels.gradient import mark_edges
from bids_app.qsm.kernels.interpolation import interpolate
from bids_app.qsm.kernels.rows import Layout
from bids_app.qsm.kernels.spans import Spans
from bids_app.qsm.kernels.wrapped import wrapped_laplacian
from bids_app.qsm.operators.gradient import gradient
from bids_app.qsm.operators.laplacian import NEIGHBOURS, difference_weights, laplacian, point_weights
from bids_app.qsm.operators.resample import interpolate_blocks

SIZES = st.tuples(*[st.floats(0.5, 3)] * 3)


def region(seed, shape=(9, 8, 11)):
    """Return an irregular region that touches no face, with two free voxels on all sides."""
    inside = np.random.default_rng(seed).random(shape) < 0.7
    out = np.zeros(shape, bool)
    inner = tuple(slice(2, -2) for _ in range(3))
    out[inner] = inside[inner]
    out[4, 4, 4] = True
    return out


@settings(deadline=None, max_examples=20)
@given(SIZES, st.integers(0, 1000))
def test_the_19_points_over_rows_are_the_plain_laplacian(size, seed):
    inside, grid = region(seed), Grid((9, 8, 11), size)
    layout = Layout.of(inside)
    values = np.random.default_rng(seed).normal(size=inside.shape).astype(np.float32)
    values[~ndimage.binary_dilation(inside, NEIGHBOURS)] = 0
    centre, along, across = point_weights(size)
    weights = tuple(np.float32(v) for v in (-centre, *along, *across))
    field = layout.take(values)
    out = np.zeros_like(field)
    product = laplace.laplacian(field, layout.spans(inside).argument, weights, out)
    expected = np.where(inside, -laplacian(values, grid), 0)
    tolerance = 1e-5 * abs(centre) * max(1, np.abs(values).max())
    np.testing.assert_allclose(layout.put(out), expected, atol=tolerance)
    assert product == pytest.approx(np.sum(expected * values, dtype=np.float64), abs=1e-3 * abs(centre) * values.size)


@settings(deadline=None, max_examples=20)
@given(SIZES, st.integers(0, 1000))
def test_the_laplacian_of_a_field_is_the_plain_one_where_all_neighbours_are_known(size, seed):
    inside = region(seed)
    data = ndimage.binary_erosion(inside, NEIGHBOURS)
    data[4, 4, 4] = True
    inside |= ndimage.binary_dilation(data, NEIGHBOURS)
    values = np.random.default_rng(seed).normal(size=inside.shape).astype(np.float32)
    out = np.zeros(values.size, np.float32)
    strides = np.uint64(inside.shape[1] * inside.shape[2]), np.uint64(inside.shape[2])
    second, across = (w.astype(np.float32) for w in difference_weights(size))
    wrapped_laplacian(
        values.ravel(), inside.ravel(), Spans.of(data).argument, strides, second, across, np.float32(0), out
    )
    expected = laplacian(values, Grid(inside.shape, size))
    scale = abs(point_weights(size)[0])
    np.testing.assert_allclose(out.reshape(inside.shape)[data], expected[data], atol=2e-5 * scale)


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(2, 9)] * 3), SIZES, st.integers(0, 1000))
def test_edges_are_where_the_plain_gradient_exceeds_the_limit(shape, size, seed):
    grid = Grid(shape, size)
    chi = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    free = np.empty(shape, np.uint8)
    mark_edges(chi, tuple(np.float32(v) for v in size), free)  # a gradient of one per mm
    steps = np.abs(gradient(chi, grid))
    clear = np.abs(steps - 1) > 1e-4
    for axis in range(3):
        assert np.array_equal(((free & (1 << axis)) > 0)[clear[axis]], (steps[axis] > 1)[clear[axis]])


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(1, 8)] * 3), st.integers(0, 1000))
def test_products_and_norms_are_those_of_numpy(shape, seed):
    rng = np.random.default_rng(seed)
    new, old = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    change, size = spectrum.change_of(new, old)
    assert change == pytest.approx(np.sum((new - old) ** 2, dtype=np.float64), rel=1e-4)
    assert size == pytest.approx(np.sum(new**2, dtype=np.float64), rel=1e-4)
    assert sources.norm_squared(new) == pytest.approx(np.sum(new**2, dtype=np.float64), rel=1e-4)
    waves, fixed = (rng.normal(size=(2, *shape)).astype(np.float32).view() for _ in range(2))
    waves, fixed = waves[0] + 1j * waves[1], fixed[0] + 1j * fixed[1]
    blended = waves.copy()
    spectrum.blend(blended, fixed, new)
    np.testing.assert_allclose(blended, fixed + new * waves, atol=1e-5)
    divided = waves.copy()
    spectrum.deconvolve(divided, new, np.float32(0.3))
    np.testing.assert_allclose(divided, np.where(np.abs(new) > 0.3, waves / new, 0), atol=2e-5 * 10)


def test_fused_interpolation_is_the_plain_one():
    coarse = np.random.default_rng(0).normal(size=(6, 5, 7)).astype(np.float32)
    shape = (12, 10, 14)
    places, shares = [], []
    for n, m in zip(shape, coarse.shape, strict=True):
        place = np.clip((np.arange(n) + 0.5) / 2 - 0.5, 0, m - 1)
        low = np.minimum(place.astype(np.int64), m - 1)
        share = (place - low).astype(np.float32)
        places.append(np.stack([low, np.minimum(low + 1, m - 1)]))
        shares.append(np.stack([1 - share, share]))
    where = np.random.default_rng(1).random(shape) < 0.8
    out = np.empty(shape, np.float32)
    interpolate(coarse, tuple(places), tuple(shares), where, out)
    np.testing.assert_allclose(out, np.where(where, interpolate_blocks(coarse, shape), 0), atol=1e-5)
