"""HARPERELLA: what defines it, and what it leaves of a field from outside."""

import numpy as np
from scipy import ndimage

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.fft import irfftn, rfftn
from bids_app.qsm.operators.laplacian import NEIGHBOURS, inverse_laplacian_spectrum, laplacian, stencil
from bids_app.qsm.operators.sphere import SphereMean

GRID = Grid((36, 34, 30), (1.0, 1.1, 1.3), (0.2, -0.3, 1.0))


def head():
    """Return a local and an outside field (ppm), and the mask of an ellipsoid."""
    x, y, z = np.meshgrid(
        *[(np.arange(n) - n // 2) * v for n, v in zip(GRID.shape, GRID.voxel_size, strict=True)], indexing="ij"
    )
    mask = (x / 15) ** 2 + (y / 15.5) ** 2 + (z / 16) ** 2 < 1
    chi = (0.1 * ((x - 4) ** 2 + y**2 + z**2 < 25)).astype(np.float32)
    outside = (0.02 * x - 0.03 * z + 0.002 * (2 * z**2 - x**2 - y**2)).astype(np.float32)
    return forward_field(chi, GRID), outside, mask


def test_the_inverse_laplacian_undoes_the_stencil():
    data = np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32)
    data -= data.mean(dtype=np.float64)
    field = irfftn(rfftn(data) * inverse_laplacian_spectrum(GRID), GRID.shape)
    np.testing.assert_allclose(ndimage.correlate(field, stencil(GRID), mode="wrap"), data, atol=2e-4)


def test_the_laplacian_inside_is_kept_and_the_outside_field_goes():
    local, outside, mask = head()
    interior = ndimage.binary_erosion(mask, NEIGHBOURS)
    field, valid = qsm.BACKGROUND["harperella"](local + outside, mask, GRID)
    deep = ndimage.binary_erosion(valid, NEIGHBOURS)
    np.testing.assert_allclose(laplacian(field, GRID)[deep], laplacian(local, GRID)[deep], atol=2e-4)
    assert np.abs(laplacian(local, GRID)[deep]).max() > 0.02
    assert valid[interior].all()
    alone, _ = qsm.BACKGROUND["harperella"](local, mask, GRID)
    assert np.abs(field - alone).max() < 0.01 * np.ptp(outside[mask])
    assert np.corrcoef(field[valid], local[valid])[0, 1] > 0.75
    assert np.corrcoef((local + outside)[valid], local[valid])[0, 1] < 0.3


def test_the_spherical_means_fall_with_every_iteration():
    local, outside, mask = head()
    method = qsm.BACKGROUND["harperella"]
    sphere, means = SphereMean(5.0, GRID), []
    deep = sphere.fits(mask.astype(np.float32))
    for iterations in (1, 5, 40):
        params = type(method.params())(iterations=iterations, tolerance=0.0)
        field, _ = method(local + outside, mask, GRID, params=params)
        means.append(float(np.std(sphere.mean(field)[deep])))
    assert means[0] > means[1] > means[2]
