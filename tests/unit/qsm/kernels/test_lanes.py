"""Vectors in kernels compute what numpy does, and touch nothing else."""

import numpy as np
import pytest

from bids_app.qsm.kernels.cache import jit
from bids_app.qsm.kernels.lanes import WIDTH, ball_share, first, load, store


@jit(error_model="numpy")
def _combine(a, b, out, place, count, number):
    x, y = load(a, place), load(b, place)
    result = number * (x * y - x) / (y + number) + x * ball_share(y * y, number)
    if count == WIDTH:
        store(out, place, result, None)
    else:
        store(out, place, result, first(count))


@pytest.mark.parametrize("count", [0, 1, 7, WIDTH])
def test_a_kernel_of_vectors_is_its_plain_python(count):
    rng = np.random.default_rng(count)
    a, b = rng.random((2, 2 * WIDTH + 5)).astype(np.float32)
    start = rng.random(a.size).astype(np.float32)
    compiled, plain = start.copy(), start.copy()
    _combine(a, b, compiled, np.uint64(3), np.uint64(count), np.float32(0.5))
    _combine.py_func(a, b, plain, np.uint64(3), np.uint64(count), np.float32(0.5))
    x, y = a[3 : 3 + count], b[3 : 3 + count]
    expected = start.copy()
    expected[3 : 3 + count] = 0.5 * (x * y - x) / (y + 0.5) + x * 0.5 / np.maximum(0.5, y)
    np.testing.assert_allclose(compiled, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(plain, expected, rtol=1e-6, atol=1e-6)
    untouched = np.r_[0:3, 3 + count : a.size]
    np.testing.assert_array_equal(compiled[untouched], start[untouched])
