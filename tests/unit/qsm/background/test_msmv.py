"""mSMV: what it adds to PDF, and where it changes the field."""

from dataclasses import replace

import numpy as np
import pytest

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.sphere import SphereMean

GRID = Grid((40, 38, 34), (1.0, 1.1, 1.3), (0.2, -0.3, 1.0))
MSMV = qsm.BACKGROUND["msmv"]


def head():
    """Return a local and an outside field (ppm), the mask of an ellipsoid, and where the first sphere fits."""
    x, y, z = np.meshgrid(
        *[(np.arange(n) - n // 2) * v for n, v in zip(GRID.shape, GRID.voxel_size, strict=True)], indexing="ij"
    )
    mask = (x / 17) ** 2 + (y / 17.5) ** 2 + (z / 18) ** 2 < 1
    chi = (0.1 * ((x - 4) ** 2 + y**2 + z**2 < 25)).astype(np.float32)
    outside = (0.02 * x - 0.03 * z + 0.003 * (2 * z**2 - x**2 - y**2)).astype(np.float32)
    return forward_field(chi, GRID), outside, mask, SphereMean(5.0, GRID).fits(mask.astype(np.float32))


def test_what_pdf_leaves_at_the_boundary_is_removed_and_the_mask_stays_whole():
    _, outside, mask, deep = head()
    # A single step of PDF leaves much of the background.
    few = {"iterations": 1, "tolerance": 1e-6}
    pdf = qsm.BACKGROUND["pdf"]
    left, _ = pdf(outside, mask, GRID, params=replace(pdf.params(), **few))
    rest, valid = MSMV(outside, mask, GRID, params=replace(MSMV.params(), **few))
    assert np.array_equal(valid, mask)
    assert np.array_equal(rest[deep], left[deep])
    shell = mask & ~deep
    limit = np.percentile(np.abs(left[deep]), 99)
    assert np.array_equal(rest[shell] != left[shell], np.abs(left[shell]) > limit)
    assert np.std(rest[shell]) < 0.6 * np.std(left[shell])


def test_a_large_value_at_the_boundary_is_filtered_and_a_small_one_is_not():
    local, _, mask, deep = head()
    shell = np.argwhere(mask & ~deep)
    place = tuple(shell[np.abs(local[tuple(shell.T)]).argmin()])
    sizes = {}
    for spike in (0.004, 1.0):
        field = local.copy()
        field[place] += spike
        before, after = (
            MSMV(field, mask, GRID, params=replace(MSMV.params(), filters=filters, iterations=5))[0][place]
            for filters in (0, 5)
        )
        sizes[spike] = (abs(float(before)), abs(float(after)))
    assert sizes[0.004][0] == sizes[0.004][1] > 0.001
    assert sizes[1.0][1] < 0.6 * sizes[1.0][0]


def test_a_sphere_that_fits_nowhere_is_refused():
    local, _, mask, _ = head()
    with pytest.raises(ValueError, match="no sphere of 30 mm fits into the mask: it is too thin for mSMV"):
        MSMV(local, mask, GRID, params=replace(MSMV.params(), radius=30.0))
