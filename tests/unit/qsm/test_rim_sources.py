"""Strong sources at the rim: which are left out of the second map, and what that is worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.dipole import forward_field
from bids_app.qsm.geometry import Grid
from bids_app.qsm.rim_sources import field_with_rim_sources, with_rim_sources, without_rim_sources

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
    rest = without_rim_sources(map_of(vessel=value, nucleus=0.2), HEAD, GRID)
    assert not rest[VESSEL].any()
    assert rest[NUCLEUS].all()
    gone = HEAD & ~rest
    assert gone.sum() < 4 * (VESSEL & HEAD).sum()
    assert not gone[(X - 2) ** 2 + (Y - 29) ** 2 > 8**2].any()


def test_of_a_vein_that_leads_inwards_only_what_is_near_the_rim_is_left_out():
    rest = without_rim_sources(map_of(vessel=0.3, vein=0.3), HEAD, GRID)
    assert not rest[VESSEL].any()
    assert not rest[DEEP_VEIN & (Y > 25)].any()
    assert rest[DEEP_VEIN & (Y < 17)].all()


def test_a_bleeding_is_left_out_whole_however_deep_it_reaches():
    bleeding = X**2 + (Y - 20) ** 2 + Z**2 < 11**2  # from 2 mm below the surface to 24 mm
    chi = np.where(bleeding, np.float32(0.8), map_of())
    rest = without_rim_sources(chi, HEAD, GRID)
    assert not rest[bleeding].any()


def test_threshold_counts_from_the_median_and_nothing_found_returns_the_mask():
    chi = map_of(vessel=0.09, nucleus=0.3)
    assert without_rim_sources(chi, HEAD, GRID) is HEAD
    assert without_rim_sources(chi + 0.5, HEAD, GRID) is HEAD
    assert not without_rim_sources(chi, HEAD, GRID, threshold=0.05)[VESSEL].any()


@pytest.mark.parametrize("strong", [(X > 0) == (Y > 0), X > 15])
def test_a_mask_of_which_too_little_would_be_left_is_kept(strong):
    chi = np.where(strong, np.float32(0.3), map_of())
    assert without_rim_sources(chi, HEAD, GRID) is HEAD


def test_crumbs_that_a_source_cuts_off_are_left_out_too():
    wall = (np.abs(Y - 28) < 1) & HEAD
    chi = np.where(wall, np.float32(0.3), map_of())
    assert not without_rim_sources(chi, HEAD, GRID)[Y > 28].any()


@settings(max_examples=12, deadline=None)
@given(axes=st.permutations((0, 1, 2)), flips=st.tuples(*[st.booleans()] * 3))
def test_the_order_and_direction_of_the_axes_do_not_matter(axes, flips):
    def turned(array):
        return np.ascontiguousarray(np.flip(array.transpose(axes), [a for a, f in enumerate(flips) if f]))

    chi = map_of(vessel=0.3, vein=0.3, nucleus=0.2)
    given_mask = turned(HEAD)
    grid = Grid(given_mask.shape, (1.5, 1.5, 1.5))
    np.testing.assert_array_equal(
        without_rim_sources(turned(chi), given_mask, grid), turned(without_rim_sources(chi, HEAD, GRID))
    )


def test_maps_are_put_together_at_the_same_zero():
    rest = HEAD & ~VESSEL
    chi = map_of(vessel=0.3)
    better = np.where(rest, chi + np.float32(0.07), np.float32(0))
    both = with_rim_sources(better, rest, chi, HEAD)
    np.testing.assert_allclose(both[HEAD], chi[HEAD] + 0.07, atol=1e-5)
    assert not both[~HEAD].any()
    assert both.dtype == np.float32


def test_the_local_field_has_the_sources_again():
    rest = HEAD & ~VESSEL
    chi = map_of(vessel=0.3, nucleus=0.2)
    relative = np.where(HEAD, chi - chi[HEAD].mean(), 0).astype(np.float32)
    apart = forward_field(np.where(rest, relative, 0).astype(np.float32), GRID) * rest
    whole = field_with_rim_sources(apart, rest, chi, HEAD, GRID)
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


def test_the_rest_of_the_map_is_nearer_to_the_truth_without_them(scanned):
    truth, field, sinus = scanned

    def inverted(mask):
        local, valid = qsm.BACKGROUND["lbv"](field * mask, mask, GRID)
        return qsm.INVERSIONS["bayes"](local, valid, GRID), valid

    chi, valid = inverted(HEAD)
    rest = without_rim_sources(chi, valid, GRID)
    assert not rest[sinus].any()
    better, known = inverted(rest)
    both = with_rim_sources(better, known, chi, valid)
    elsewhere = known & ~sinus

    def error(one):
        difference = (one - truth)[elsewhere]
        return float(np.std(difference) / np.std(truth[elsewhere]))

    assert error(both) < 0.8 * error(chi)
    np.testing.assert_allclose((both - chi)[valid & ~known].std(), 0, atol=1e-6)


def test_inputs_are_not_changed(scanned):
    chi, mask = map_of(vessel=0.3), HEAD.copy()
    before = chi.copy()
    without_rim_sources(chi, mask, GRID)
    with_rim_sources(chi, mask, chi, mask)
    field_with_rim_sources(chi, mask, chi, mask, GRID)
    np.testing.assert_array_equal(chi, before)
    np.testing.assert_array_equal(mask, HEAD)
