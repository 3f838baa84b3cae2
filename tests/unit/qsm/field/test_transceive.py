"""A parabola of transmit and receive phase is taken off the field of one echo; tissue is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.field.transceive import remove_transceive_phase
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

SHAPE = (40, 44, 36)
GRID = Grid(SHAPE, (4.0, 3.6, 4.0), (0.1, 0.2, 0.97))


def head(seed=0):
    """Return mask, coordinates (mm), the map of some nuclei (ppm) and their field with a background and noise."""
    axes = [(np.arange(n) - n / 2) * v for n, v in zip(SHAPE, GRID.voxel_size, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    mask = (x / 64) ** 2 + (y / 70) ** 2 + (z / 58) ** 2 < 1
    rng = np.random.default_rng(seed)
    chi = np.zeros(SHAPE)
    for _ in range(6):
        a, b, c = rng.uniform(-35, 35, 3)
        chi[(x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 9**2] = rng.uniform(-0.03, 0.12)
    field = forward_field(chi.astype(np.float32), GRID) + 1e-5 * (x * y + z**2 - x**2) + 3e-4 * z
    field += 0.002 * rng.standard_normal(SHAPE)
    return mask, (x, y, z), chi, field.astype(np.float32)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31))
def test_tissue_and_background_are_left_nearly_alone(seed):
    mask, _, _, field = head(seed)
    assert remove_transceive_phase(field, mask, GRID).removed < 0.001


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.floats(-1, 1), st.floats(-20, 20))
def test_a_parabola_and_its_slope_are_taken_off_wherever_its_middle_is(seed, slope, shift):
    mask, (x, y, z), _, field = head(seed)
    sign = -1 if seed % 2 else 1
    offset = sign * 1e-4 * ((x - shift) ** 2 + 0.7 * y**2 + (z + shift) ** 2) * (1 + slope * z / 300) / 2
    given_field = (field + offset).astype(np.float32)
    before = given_field.copy()
    result = remove_transceive_phase(given_field, mask, GRID)
    np.testing.assert_array_equal(given_field, before)
    np.testing.assert_array_equal(result.field[~mask], given_field[~mask])
    clean, spoilt, freed = (qsm.BACKGROUND["lbv"](f, mask, GRID)[0][mask] for f in (field, given_field, result.field))
    assert result.removed > 0.02
    assert np.std(freed - clean) < 0.12 * np.std(spoilt - clean)


def test_the_map_comes_back():
    mask, (x, y, z), chi, field = head(4)
    offset = (1.2e-4 * (x**2 + y**2 + z**2)).astype(np.float32)

    def error(total):
        local, valid = qsm.BACKGROUND["lbv"](total, mask, GRID)
        difference = (qsm.INVERSIONS["bayes"](local, valid, GRID) - chi)[mask]
        return float(np.std(difference) / np.std(chi[mask]))

    clean = error(field)
    assert error(remove_transceive_phase(field + offset, mask, GRID).field) < clean + 0.05
    assert error(field + offset) > clean + 0.2


def test_weights_of_nothing_are_refused_and_small_objects_stay():
    field = np.random.default_rng(0).standard_normal((12, 12, 12), np.float32)
    grid = Grid(field.shape)
    for size in (0, 1, 2):
        mask = np.zeros(field.shape, bool)
        mask[5 : 5 + size, 5 : 5 + size, 5 : 5 + size] = True
        result = remove_transceive_phase(field, mask, grid)
        np.testing.assert_array_equal(result.field[~mask], field[~mask])
        assert np.isfinite(result.field).all()
    mask = np.ones(field.shape, bool)
    with pytest.raises(ValueError, match="weights are zero"):
        remove_transceive_phase(field, mask, grid, weights=np.zeros(field.shape, np.float32))


def test_an_object_at_the_edge_of_the_volume_is_no_matter():
    mask, (x, y, z), _, field = head(1)
    offset = (1e-4 * (x**2 + y**2 + z**2)).astype(np.float32)
    part = (slice(10, None), slice(None), slice(None))
    grid = Grid(mask[part].shape, GRID.voxel_size, GRID.b0_dir)
    result = remove_transceive_phase(
        np.ascontiguousarray((field + offset)[part]), np.ascontiguousarray(mask[part]), grid
    )
    assert result.removed > 0.02


def test_the_same_bytes_each_time():
    mask, (x, _, _), _, field = head(2)
    total = (field + 1e-4 * x**2).astype(np.float32)
    first, other = (remove_transceive_phase(total, mask, GRID) for _ in range(2))
    assert first.field.tobytes() == other.field.tobytes()
    assert first.removed == other.removed
