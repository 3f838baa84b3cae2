"""Source separation: analytic phantoms, noise against the Cramer-Rao bound, orientation, missing maps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from bids_app.errors import ParameterError
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.separation.apart import ApartParams, apart
from bids_app.qsm.separation.calibration import estimate_relaxivity
from bids_app.qsm.separation.chi_separation import ChiSeparationParams, chi_separation
from bids_app.qsm.separation.closed_form import ClosedFormParams, closed_form
from bids_app.qsm.separation.decompose import DecomposeParams, decompose
from bids_app.qsm.separation.r2star_qsm import r2star_qsm
from bids_app.qsm.separation.sources import (
    CYLINDERS_OVER_SPHERES,
    CYLINDERS_PER_PPM_T,
    SPHERES_PER_PPM_T,
    SeparationData,
    at_field,
)
from bids_app.qsm.separation.white_matter import (
    WhiteMatterParams,
    iron_of_white_matter,
    relaxivity_by_angle,
    white_matter,
)
from bids_app.qsm.units import GAMMA_MHZ_PER_T

SHAPE, DR = (40, 40, 40), 137.0
GRID = Grid(SHAPE, (1.5, 1.5, 1.5), (0.0, 0.1, 1.0))
X, Y, Z = np.meshgrid(*[np.arange(40, dtype=np.float32) - 19.5] * 3, indexing="ij")
MASK = X**2 + Y**2 + Z**2 < 18**2


def ball(x, y, z, radius):
    return (X - x) ** 2 + (Y - y) ** 2 + (Z - z) ** 2 < radius**2


def sphere_pair():
    """An iron-rich and a calcified sphere, one that holds both, and the maps that they give."""
    p, n = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    p[ball(-8, 0, 0, 5)], n[ball(8, 0, 0, 5)] = 0.15, 0.10
    both = ball(0, 9, 0, 4)
    p[both], n[both] = 0.08, 0.06
    return p, n


def measured(p, n, ratio=1.0, field_strength=3.0, **more):
    chi = p - n
    relaxivity = at_field(DR, field_strength)
    rate = (relaxivity * (p + ratio * n)).astype(np.float32)
    field = (forward_field(chi, GRID) * MASK).astype(np.float32)
    return SeparationData(GRID, MASK, field_strength, local_field=field, chi=chi, r2prime=rate, **more)


def nrmse(estimate, true):
    return float(np.linalg.norm((estimate - true)[MASK]) / np.linalg.norm(true[MASK]))


def test_constants_are_those_of_static_dephasing():
    gamma = 2 * np.pi * GAMMA_MHZ_PER_T
    assert pytest.approx(2 * np.pi * gamma / (9 * np.sqrt(3)), rel=1e-4) == SPHERES_PER_PPM_T
    assert pytest.approx(gamma / 2, rel=1e-4) == CYLINDERS_PER_PPM_T
    assert at_field(DR, 1.5) == DR / 2


@pytest.mark.parametrize("field_strength", [3.0, 7.0])
def test_closed_form_is_exact_for_its_model(field_strength):
    p, n = sphere_pair()
    result = closed_form(measured(p, n, field_strength=field_strength))
    np.testing.assert_allclose(result.paramagnetic, p, atol=1e-6)
    np.testing.assert_allclose(result.diamagnetic, -n, atol=1e-6)
    assert abs(result.residual).max() < 1e-3


@pytest.mark.parametrize("noise", [(0.002, 1.0), (0.005, 4.0)])
def test_closed_form_reaches_the_cramer_rao_bound(noise):
    p, n = np.full(SHAPE, 0.2, np.float32), np.full(SHAPE, 0.2, np.float32)
    data, rng = measured(p, n), np.random.default_rng(0)
    chi = data.chi + noise[0] * rng.standard_normal(SHAPE, np.float32)
    rate = data.r2prime + noise[1] * rng.standard_normal(SHAPE, np.float32)
    result = closed_form(replace(data, chi=chi, r2prime=rate))
    # Two data, two unknowns: the inverse of the Fisher information is that of the linear map itself.
    bound = 0.5 * np.hypot(noise[0], noise[1] / DR)
    for map_, true in ((result.paramagnetic, 0.2), (result.diamagnetic, -0.2)):
        assert map_[MASK].std() == pytest.approx(bound, rel=0.03)
        assert map_[MASK].mean() == pytest.approx(true, abs=3 * bound / np.sqrt(MASK.sum()) + 1e-5)


def test_where_r2prime_is_not_valid_one_kind_of_source_stays():
    p, n = sphere_pair()
    valid = np.ones(SHAPE, bool)
    valid[X < -4] = False
    result = closed_form(measured(p, n, r2prime_mask=valid))
    inside = ball(-8, 0, 0, 3) & ~valid
    np.testing.assert_allclose(result.paramagnetic[inside], p[inside], atol=1e-6)
    assert not result.diamagnetic[inside].any()


def test_r2star_qsm_is_exact_for_its_model():
    p, n = sphere_pair()
    data = replace(measured(p, n), r2star=(274 * (p + n)).astype(np.float32))
    result = r2star_qsm(data)
    np.testing.assert_allclose(result.paramagnetic, p, atol=1e-6)
    np.testing.assert_allclose(result.diamagnetic, -n, atol=1e-6)


def test_the_joint_fit_separates_spheres_from_their_field():
    p, n = sphere_pair()
    data = replace(measured(p, n), chi=None)
    info = {}
    result = chi_separation(data, params=ChiSeparationParams(tolerance=1e-3), info=info)
    assert nrmse(result.paramagnetic, p) < 0.2
    assert nrmse(-result.diamagnetic, n) < 0.2
    assert result.paramagnetic.min() >= 0
    assert result.diamagnetic.max() <= 0
    assert not result.paramagnetic[~MASK].any()
    assert {"relaxivity", "noise_ppm", "regularisation"} <= info.keys()


def test_in_noise_the_joint_fit_is_better_than_the_closed_form():
    p, n = sphere_pair()
    data, rng = measured(p, n), np.random.default_rng(2)
    noisy = replace(
        data,
        chi=(data.chi + 0.02 * rng.standard_normal(SHAPE)).astype(np.float32),
        local_field=(data.local_field + 0.004 * rng.standard_normal(SHAPE) * MASK).astype(np.float32),
        r2prime=np.maximum(data.r2prime + 4 * rng.standard_normal(SHAPE), 0).astype(np.float32),
        r2prime_sd=np.full(SHAPE, 4, np.float32),
    )
    joint, plain = chi_separation(noisy), closed_form(noisy)
    assert nrmse(joint.paramagnetic, p) < 0.8 * nrmse(plain.paramagnetic, p)
    assert nrmse(joint.diamagnetic, -n) < 0.8 * nrmse(plain.diamagnetic, -n)


@pytest.mark.parametrize("method", [chi_separation, white_matter])
@pytest.mark.parametrize("noise", [(0.002, 1.0), (0.004, 2.0), (0.008, 4.0)])
def test_bias_and_spread_of_the_joint_fits_over_noise(method, noise):
    """Within the spheres, two scans with new noise differ by less than the bound of a voxel that is fitted alone."""
    p, n = sphere_pair()
    data, rng = measured(p, n), np.random.default_rng(8)
    scans = []
    for _ in range(2):
        field = data.local_field + noise[0] * rng.standard_normal(SHAPE) * MASK
        rate = np.maximum(data.r2prime + noise[1] * rng.standard_normal(SHAPE), 0)
        sd = np.full(SHAPE, noise[1], np.float32)
        given = {"local_field": field.astype(np.float32), "r2prime": rate.astype(np.float32), "r2prime_sd": sd}
        scans.append(method(replace(data, chi=None, **given)))
    # With the dipole kernel's root mean square (2 / sqrt 45) as the mean sensitivity of the field to susceptibility.
    bound = 0.5 * np.hypot(noise[0] / np.sqrt(4 / 45), noise[1] / DR)
    for ball_, name, true in ((ball(-8, 0, 0, 4), "paramagnetic", 0.15), (ball(8, 0, 0, 4), "diamagnetic", -0.10)):
        first, second = (getattr(scan, name)[ball_] for scan in scans)
        assert (first - second).std() / np.sqrt(2) < bound
        assert (first + second).mean() / 2 == pytest.approx(true, rel=0.2)


def spheres_by_theory(spheres):
    """Return the field (ppm) of spheres (centre, radius in mm, susceptibility) by the formula of a dipole."""
    field, along = np.zeros(SHAPE), np.array(GRID.b0_dir) / np.linalg.norm(GRID.b0_dir)
    for centre, radius, chi in spheres:
        away = 1.5 * (np.stack([X, Y, Z], -1) - np.array(centre))
        distance = np.maximum(np.linalg.norm(away, axis=-1), 1e-6)
        cosine = (away @ along) / distance
        field += np.where(distance > radius, chi / 3 * (radius / distance) ** 3 * (3 * cosine**2 - 1), 0)
    return (field * MASK).astype(np.float32)


@pytest.mark.parametrize("method", [chi_separation, white_matter])
@pytest.mark.parametrize("distance_mm", [18.0, 27.0])
def test_a_pair_of_spheres_by_the_formula_of_their_field(method, distance_mm):
    half, radius = distance_mm / 3, 7.5
    spheres = (((-half, 0, 0), radius, 0.12), ((half, 0, 0), radius, -0.10))
    iron, calcium = (1.5 * np.linalg.norm(np.stack([X - c[0], Y, Z]), axis=0) < radius for c, _, _ in spheres)
    rate = DR * (0.12 * iron + 0.10 * calcium)
    data = SeparationData(GRID, MASK, 3.0, local_field=spheres_by_theory(spheres), r2prime=rate.astype(np.float32))
    result = method(data)
    for inside, estimate, true in ((iron, result.paramagnetic, 0.12), (calcium, -result.diamagnetic, 0.10)):
        core = ndimage.binary_erosion(inside)
        assert estimate[core].mean() == pytest.approx(true, rel=0.1)
    assert result.paramagnetic[calcium].mean() < 0.015
    assert -result.diamagnetic[iron].mean() < 0.015


@pytest.mark.parametrize("degrees", [0, 35, 55, 75, 90])
def test_cylinders_at_several_angles_to_the_field(degrees):
    """A bundle of myelin: the closed form errs by what theory says, and a known angle removes the error."""
    tilt = np.radians(degrees)
    direction = np.cos(tilt) * np.array([0, 0.1, 1]) / np.hypot(0.1, 1) + np.sin(tilt) * np.array([1, 0, 0])
    away = np.stack([X, Y, Z], -1)
    axial = away @ direction
    radial = np.linalg.norm(away - axial[..., None] * direction, axis=-1)
    bundle = (radial < 6) & (abs(axial) < 13)
    n, ratio = 0.05 * bundle.astype(np.float32), CYLINDERS_OVER_SPHERES * np.sin(tilt) ** 2
    p = 0.012 * bundle.astype(np.float32)
    data = measured(p, n, ratio, white_matter=bundle.astype(np.float32))
    plain = closed_form(data)
    assert -plain.diamagnetic[bundle].mean() == pytest.approx(0.05 * (1 + ratio) / 2, rel=1e-3)
    assert plain.paramagnetic[bundle].mean() == pytest.approx(max(0.012 + 0.05 * (ratio - 1) / 2, 0), abs=1e-5)
    angle = np.where(bundle, np.float32(tilt), np.float32(np.nan))
    result = white_matter(replace(data, chi=None, fibre_angle=angle), params=WhiteMatterParams(calibrate=False))
    core = ndimage.binary_erosion(bundle)
    assert -result.diamagnetic[core].mean() == pytest.approx(0.05, rel=0.15)
    assert result.paramagnetic[core].mean() == pytest.approx(0.012, abs=0.008)


def bundles(angles, cylinders=CYLINDERS_OVER_SPHERES):
    """White matter of one fibre angle per slab along x, with an iron-rich ball in it."""
    sine2 = np.zeros(SHAPE, np.float32)
    angle = np.full(SHAPE, np.nan, np.float32)
    for number, degrees in enumerate(angles):
        slab = slice(number * 40 // len(angles), (number + 1) * 40 // len(angles))
        sine2[slab] = np.sin(np.radians(degrees)) ** 2
        angle[slab] = np.radians(degrees)
    rng = np.random.default_rng(4)
    p, n = 0.012 * MASK, (0.045 + 0.005 * rng.standard_normal(SHAPE)) * MASK
    iron = ball(0, 8, 0, 6)
    p, n = np.where(iron, 0.12 + 0.002 * X, p), np.where(iron, 0.01, n)
    white = (MASK & ~iron).astype(np.float32)
    ratio = 1 + white * (cylinders * sine2 - 1)
    data = measured(p.astype(np.float32), n.astype(np.float32), ratio, white_matter=white)
    return data, p, n, np.where(white > 0, angle, np.nan).astype(np.float32)


@pytest.mark.parametrize("cylinders", [CYLINDERS_OVER_SPHERES, 2.5])
@pytest.mark.parametrize("angles", [(0, 30, 60, 90), (90, 45), (20, 80, 40)])
def test_known_fibre_angles_remove_the_error_of_orientation(angles, cylinders):
    data, p, n, angle = bundles(angles, cylinders)
    params = WhiteMatterParams(calibrate=False, tolerance=3e-4, iterations=150)
    result = white_matter(replace(data, fibre_angle=angle), params=params)
    plain = closed_form(data)
    assert nrmse(result.paramagnetic, p) < 0.5 * nrmse(plain.paramagnetic, p)
    assert nrmse(result.diamagnetic, -n) < 0.5 * nrmse(plain.diamagnetic, -n)


def test_without_angles_the_orientation_is_estimated():
    data, p, n, _ = bundles((0, 30, 60, 90))
    info = {}
    params = WhiteMatterParams(calibrate=False, tolerance=5e-4, iterations=120, smoothing=3.0)
    result, plain = white_matter(data, params=params, info=info), closed_form(data)
    assert info["iron_white_matter"] == pytest.approx(0.012, abs=0.005)
    assert nrmse(result.paramagnetic, p) < 0.7 * nrmse(plain.paramagnetic, p)
    assert nrmse(result.diamagnetic, -n) < 0.7 * nrmse(plain.diamagnetic, -n)
    along, across = data.white_matter * (X < -12) > 0, data.white_matter * (X > 12) > 0
    assert result.orientation[along].mean() < 0.3
    assert result.orientation[across].mean() > 0.9


def test_iron_of_white_matter_follows_from_the_bounds():
    rng = np.random.default_rng(5)
    sine2 = 1 - rng.random(5000) ** 2
    n = 0.04 + 0.004 * rng.standard_normal(5000)
    chi, total = 0.015 - n, 0.015 + CYLINDERS_OVER_SPHERES * sine2 * n
    core = np.ones(5000, bool)
    assert iron_of_white_matter(chi, total, core, CYLINDERS_OVER_SPHERES) == pytest.approx(0.015, abs=0.002)
    assert iron_of_white_matter(chi, total, np.zeros(5000, bool), CYLINDERS_OVER_SPHERES) == 0.015


@pytest.mark.parametrize("iron", [0.005, 0.015, 0.03])
@pytest.mark.parametrize("cylinders", [0.8, 2.0, 3.0])
def test_iron_of_white_matter_does_not_rest_on_one_relaxivity_of_myelin(iron, cylinders):
    rng = np.random.default_rng(6)
    n = 0.04 + 0.004 * rng.standard_normal(5000)
    total = iron + cylinders * (1 - rng.random(5000) ** 2) * n
    result = iron_of_white_matter(iron - n, total, np.ones(5000, bool), CYLINDERS_OVER_SPHERES)
    assert result == pytest.approx(iron, abs=0.015)


@pytest.mark.parametrize(("constant", "cylinders"), [(0, 0.7), (0, 1.24), (0, 2.9), (1, 0), (2, 0), (0.5, 0.75)])
def test_a_map_of_angles_gives_the_relaxivity_of_myelin(constant, cylinders):
    rng = np.random.default_rng(7)
    sine2, n = 1 - rng.random(5000) ** 2, 0.04 + 0.004 * rng.standard_normal(5000)
    chi, rate = 0.015 - n, 0.015 + (constant + cylinders * sine2) * n + 0.002 * rng.standard_normal(5000)
    maps, core = (rate, chi, sine2, sine2 * chi), np.ones(5000, bool)
    result = relaxivity_by_angle(maps, core, CYLINDERS_OVER_SPHERES, 500)
    assert result == pytest.approx((constant, cylinders), abs=0.15)
    assert relaxivity_by_angle(maps, core & False, CYLINDERS_OVER_SPHERES, 500) == (0, CYLINDERS_OVER_SPHERES)


@pytest.mark.parametrize("relaxivity", [137.0, 320.0])
def test_relaxivity_is_estimated_with_its_error(relaxivity):
    rng = np.random.default_rng(6)
    iron = ball(0, 0, 0, 12)
    chi = np.where(iron, 0.12 + 0.004 * X, 0).astype(np.float32)
    rate = np.where(iron, relaxivity * (chi + 0.02) + 2 * rng.standard_normal(SHAPE), 0).astype(np.float32)
    result = estimate_relaxivity(chi, rate, MASK, GRID, region=ball(0, 0, 0, 10))
    assert result.value == pytest.approx(relaxivity, rel=0.05)
    assert 0 < result.sd < 0.1 * relaxivity


def test_white_matter_at_the_surface_of_a_nucleus_does_not_lower_the_relaxivity():
    iron = ndimage.gaussian_filter(ball(0, 0, 0, 11).astype(np.float32), 0.6)
    p, n = 0.015 + 0.1 * iron * (1 + X / 40), 0.04 - 0.03 * iron
    result = estimate_relaxivity(p - n, DR * (p + n), MASK, GRID)
    assert result.value == pytest.approx(DR, rel=0.05)  # with the surface 93


def test_without_iron_the_constant_is_used_and_said():
    p, n = np.full(SHAPE, 0.01, np.float32), np.full(SHAPE, 0.02, np.float32)
    info = {}
    closed_form(measured(p, n), params=ClosedFormParams(calibrate=True), info=info)
    assert info["relaxivity"] == DR
    assert info["relaxivity_source"].startswith("constant: too little")


def test_apart_follows_a_kernel_that_differs():
    p = np.full(SHAPE, 0.10, np.float32)
    n = np.full(SHAPE, 0.0, np.float32)
    data = measured(p, n)
    low = X < 0
    data = replace(data, r2prime=np.where(low, 0.5, 1.0).astype(np.float32) * data.r2prime)
    result, plain = apart(data, params=ApartParams(spread=1.0)), closed_form(data)
    assert abs(result.residual[low & MASK]).mean() < 0.5 * abs(plain.residual[low & MASK]).mean()


def test_decompose_recovers_pools_of_its_model():
    times = tuple(0.004 + 0.005 * n for n in range(8))
    wave, rate = 2 / 3 * 2 * np.pi * GAMMA_MHZ_PER_T * 3.0, SPHERES_PER_PPM_T * 3.0
    t = np.array(times)
    cases = [(0.08, 0.3, 0.08, 0.3), (0.10, 0.2, 0.05, 0.1), (0.03, 0.2, 0.08, 0.3)]
    grid, mask = Grid((3, 1, 1)), np.ones((3, 1, 1), bool)
    signal, chi = np.zeros((8, 3, 1, 1), np.complex128), np.zeros((3, 1, 1), np.float32)
    for row, (plus, share_plus, minus, share_minus) in enumerate(cases):
        rest = 1 - share_plus - share_minus
        signal[:, row, 0, 0] = np.exp(-14 * t) * (
            share_plus * np.exp(-rate * plus * t + 1j * wave * plus * t)
            + share_minus * np.exp(-rate * minus * t - 1j * wave * minus * t)
            + rest
        )
        chi[row] = np.angle(signal[1:, row, 0, 0] / signal[:-1, row, 0, 0]).mean() / (wave * 0.005)
    magnitude, r2 = np.abs(signal).astype(np.float32), np.full((3, 1, 1), 14, np.float32)
    data = SeparationData(grid, mask, 3.0, chi=chi, r2=r2, magnitude=magnitude, echo_times=times)
    result = decompose(data, params=DecomposeParams())
    for row, (plus, share_plus, minus, share_minus) in enumerate(cases):
        assert result.paramagnetic[row, 0, 0] == pytest.approx(plus * share_plus, abs=0.012)
        assert -result.diamagnetic[row, 0, 0] == pytest.approx(minus * share_minus, abs=0.012)


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        (closed_form, "susceptibility map and an R2' map"),
        (chi_separation, "local field map and an R2' map"),
        (white_matter, "local field map and an R2' map"),
        (apart, "susceptibility map and an R2' map"),
        (r2star_qsm, "susceptibility map and an R2\\* map"),
        (decompose, "susceptibility map and the magnitude of three or more gradient echoes and an R2\\* map"),
    ],
)
def test_missing_maps_are_named(method, missing):
    with pytest.raises(ParameterError, match=missing):
        method(SeparationData(GRID, MASK, 3.0))


def test_maps_of_another_shape_and_bad_fields_are_refused():
    with pytest.raises(ValueError, match="chi has shape"):
        SeparationData(GRID, MASK, 3.0, chi=np.zeros((2, 2, 2), np.float32))
    with pytest.raises(ValueError, match="tesla"):
        SeparationData(GRID, MASK, 0.0)
    with pytest.raises(ValueError, match="empty"):
        SeparationData(GRID, np.zeros(SHAPE, bool), 3.0)
