"""Strong sources at the rim: which are left out of the second map, and what that is worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.background.boundary_sources import exclude_boundary_sources, field_with_boundary_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.pipeline.boundary_sources import add_boundary_sources, initial_estimate

SHAPE = (56, 52, 48)
GRID = Grid(SHAPE, (1.5, 1.5, 1.5), (0.0, 0.17, 0.98))
X, Y, Z = np.meshgrid(*[(np.arange(n) - n / 2) * 1.5 for n in SHAPE], indexing="ij")
HEAD = X**2 / 36**2 + Y**2 / 33**2 + Z**2 / 30**2 < 1
VESSEL = ((X - 2) ** 2 + (Y - 29) ** 2 < 9) & (np.abs(Z) < 10)
NUCLEUS = (X - 8) ** 2 + Y**2 + Z**2 < 36
DEEP_VEIN = (np.abs(X - 2) < 2) & (np.abs(Z) < 2) & (np.abs(Y - 14) < 14)


def map_of(**sources):
    """Return a map of given values (ppm) in given voxels and of noise elsewhere in the head."""
    chi = np.random.default_rng(0).normal(0, 0.01, SHAPE).astype(np.float32)
    for name, value in sources.items():
        chi[{"vessel": VESSEL, "nucleus": NUCLEUS, "vein": DEEP_VEIN}[name] & HEAD] = value
    return chi * HEAD


@pytest.mark.parametrize("value", [0.3, -0.3])
def test_a_source_at_the_rim_is_left_out_with_its_neighbours_and_a_deep_one_stays(value):
    rest = exclude_boundary_sources(map_of(vessel=value, nucleus=0.2), HEAD, GRID)
    assert not rest[VESSEL].any()
    assert rest[NUCLEUS].all()
    gone = HEAD & ~rest
    assert gone.sum() < 4 * (VESSEL & HEAD).sum()
    assert not gone[(X - 2) ** 2 + (Y - 29) ** 2 > 8**2].any()


def test_of_a_vein_that_leads_inwards_only_what_is_near_the_rim_is_left_out():
    rest = exclude_boundary_sources(map_of(vessel=0.3, vein=0.3), HEAD, GRID)
    assert not rest[VESSEL].any()
    assert not rest[DEEP_VEIN & (Y > 25)].any()
    assert rest[DEEP_VEIN & (Y < 17)].all()


def test_a_bleeding_is_left_out_whole_however_deep_it_reaches():
    bleeding = X**2 + (Y - 20) ** 2 + Z**2 < 11**2  # from 2 mm below the surface to 24 mm
    chi = np.where(bleeding, np.float32(0.8), map_of())
    rest = exclude_boundary_sources(chi, HEAD, GRID)
    assert not rest[bleeding].any()


def test_threshold_counts_from_the_median_and_nothing_found_returns_the_mask():
    chi = map_of(vessel=0.09, nucleus=0.3)
    assert exclude_boundary_sources(chi, HEAD, GRID) is HEAD
    assert exclude_boundary_sources(chi + 0.5, HEAD, GRID) is HEAD
    assert not exclude_boundary_sources(chi, HEAD, GRID, threshold=0.05)[VESSEL].any()


@pytest.mark.parametrize("strong", [(X > 0) == (Y > 0), X > 15])
def test_a_mask_of_which_too_little_would_be_left_is_kept(strong):
    chi = np.where(strong, np.float32(0.3), map_of())
    assert exclude_boundary_sources(chi, HEAD, GRID) is HEAD


def test_crumbs_that_a_source_cuts_off_are_left_out_too():
    wall = (np.abs(Y - 28) < 1) & HEAD
    chi = np.where(wall, np.float32(0.3), map_of())
    assert not exclude_boundary_sources(chi, HEAD, GRID)[Y > 28].any()


@settings(max_examples=12, deadline=None)
@given(axes=st.permutations((0, 1, 2)), flips=st.tuples(*[st.booleans()] * 3))
def test_the_order_and_direction_of_the_axes_do_not_matter(axes, flips):
    def turned(array):
        return np.ascontiguousarray(np.flip(array.transpose(axes), [a for a, f in enumerate(flips) if f]))

    chi = map_of(vessel=0.3, vein=0.3, nucleus=0.2)
    given_mask = turned(HEAD)
    grid = Grid(given_mask.shape, (1.5, 1.5, 1.5))
    np.testing.assert_array_equal(
        exclude_boundary_sources(turned(chi), given_mask, grid), turned(exclude_boundary_sources(chi, HEAD, GRID))
    )


def test_the_local_field_has_the_sources_again():
    rest = HEAD & ~VESSEL
    chi = map_of(vessel=0.3, nucleus=0.2)
    relative = np.where(HEAD, chi - chi[HEAD].mean(), 0).astype(np.float32)
    apart = forward_field(np.where(rest, relative, 0).astype(np.float32), GRID) * rest
    whole = field_with_boundary_sources(apart, rest, chi, HEAD, GRID)
    truth = forward_field(relative, GRID)
    assert np.std((whole - truth)[HEAD]) < 0.02 * np.std(truth[HEAD])
    assert not whole[~HEAD].any()
    assert np.std((apart - truth)[rest]) > 0.1 * np.std(truth[rest])


@pytest.fixture(scope="module")
def scanned():
    """A head with two nuclei and a sinus whose one half is outside of the mask, and the field with its background."""
    random = np.random.default_rng(1)
    chi = np.where(NUCLEUS, 0.12, 0.0) + np.where((X + 10) ** 2 + (Y + 5) ** 2 + Z**2 < 25, 0.08, 0.0)
    sinus = (X**2 + (Y - 31) ** 2 < 16) & (np.abs(Z) < 22)
    chi = np.where(sinus, 0.35, chi).astype(np.float32)
    air = np.where(X**2 + (Y + 42) ** 2 + (Z + 20) ** 2 < 64, 9.0, 0.0).astype(np.float32)
    noise = random.normal(0, 0.001, SHAPE)
    field = forward_field(chi + air, GRID) + noise.astype(np.float32)
    return chi, field, sinus


def inverted(field, mask):
    local, valid = qsm.BACKGROUND["lbv"](field * mask, mask, GRID)
    return qsm.INVERSIONS["bayes"](local, valid, GRID), valid


@pytest.fixture(scope="module")
def apart(scanned):
    """The rest's map, where it is known, and the rest."""
    _, field, _ = scanned
    look, valid = initial_estimate(field, HEAD, GRID)
    rest = exclude_boundary_sources(look, valid, GRID)
    return *inverted(field, rest), rest


def test_the_map_is_nearer_to_the_truth_with_the_sources_apart(scanned, apart):
    truth, field, sinus = scanned
    chi, known, rest = apart
    assert not rest[sinus].any()
    both, valid = add_boundary_sources(chi, known, rest, field, HEAD, GRID)
    whole, same = inverted(field, HEAD)
    np.testing.assert_array_equal(valid, same)
    np.testing.assert_array_equal(both[known], chi[known])
    assert not both[~valid].any()
    assert both.dtype == np.float32

    def error(estimate, where):
        zero = (estimate - truth)[known & ~sinus].mean()
        return float(np.sqrt(np.square((estimate - truth)[where] - zero).mean()))

    assert error(both, known & ~sinus) < 0.7 * error(whole, known & ~sinus)
    assert error(both, sinus & HEAD) < 0.6 * error(whole, sinus & HEAD)


def test_a_large_bleeding_at_the_rim_keeps_its_susceptibility(scanned):
    truth, field, _ = scanned
    bleeding = (X - 24) ** 2 + (Y - 8) ** 2 + Z**2 < 10**2
    bleeding &= HEAD
    more = np.where(bleeding, np.float32(0.8) - truth, np.float32(0))
    field = field + forward_field(more, GRID)
    look, valid = initial_estimate(field, HEAD, GRID)
    rest = exclude_boundary_sources(look, valid, GRID)
    assert not rest[bleeding].any()
    chi, known = inverted(field, rest)
    both, _ = add_boundary_sources(chi, known, rest, field, HEAD, GRID)
    mean = (both[bleeding] - np.median(both[HEAD])).mean()
    assert mean == pytest.approx(0.8, abs=0.1)
    whole, _ = inverted(field, HEAD)
    assert (whole[bleeding] - np.median(whole[HEAD])).mean() < 0.55


def test_without_sources_the_map_stays_as_it_is(scanned):
    chi, known = map_of(nucleus=0.2), HEAD & (Y > -20)
    both, valid = add_boundary_sources(chi, known, HEAD, scanned[1], HEAD, GRID)
    np.testing.assert_array_equal(both, chi * known)
    np.testing.assert_array_equal(valid, known)


def test_voxels_without_weight_at_the_rim_are_not_valid(scanned, apart):
    _, field, _ = scanned
    chi, known, rest = apart
    weights = np.where(HEAD & (Y > 31), np.float32(0), np.float32(1))
    both, valid = add_boundary_sources(chi, known, rest, field, HEAD, GRID, weights)
    assert not valid[HEAD & (Y > 31) & ~known].any()
    assert np.isfinite(both).all()


def test_what_a_background_method_erodes_around_the_sources_is_filled(scanned):
    _, field, sinus = scanned
    look, valid = initial_estimate(field, HEAD, GRID)
    rest = exclude_boundary_sources(look, valid, GRID)
    local, known = qsm.BACKGROUND["resharp"](field * rest, rest, GRID)
    chi = qsm.INVERSIONS["tkd"](local, known, GRID)
    both, valid = add_boundary_sources(chi, known, rest, field, HEAD, GRID)
    assert valid[sinus & HEAD].all()
    assert np.all(valid[known])
    assert np.all(both[sinus & HEAD] != 0)


def test_inputs_are_not_changed_and_the_same_bytes_come_again(scanned, apart):
    _, field, _ = scanned
    chi, known, rest = apart
    inputs = (chi, known, rest, field, HEAD)
    before = [array.copy() for array in inputs]
    first, other = (add_boundary_sources(*inputs, GRID)[0] for _ in range(2))
    field_with_boundary_sources(field, known, first, HEAD, GRID)
    exclude_boundary_sources(first, HEAD, GRID)
    np.testing.assert_array_equal(first, other)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
