"""Grids of the simulated acquisition."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.phantom.acquisition import fine_grid
from bids_app.phantom.forward import far_factors


@settings(deadline=None, max_examples=60)
@given(st.floats(0.4, 4), st.integers(1, 8), st.tuples(*[st.integers(20, 260)] * 3))
def test_a_fine_grid_is_found_for_every_voxel_size_and_oversampling(size, factor, shape):
    grid, _, before = fine_grid(shape, np.diag([size, size, size, 1.0]), factor)
    for full, n, m, far in zip(grid.shape, shape, before, far_factors([size / factor] * 3), strict=True):
        assert full % factor == 0
        assert full % far == 0
        assert (n + 2 * m) * factor <= full <= 1.5 * (n + 2 * m) * factor + 60 * factor
