"""Background field removal against analytic and synthetic truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.erosion import Erosion, dilate_by_sphere, erode_by_sphere
from bids_app.qsm.operators.dipole import DipoleConvolution, forward_field
from bids_app.qsm.operators.fft import irfftn, irfftn_cropped, rfftn, rfftn_padded
from bids_app.qsm.operators.laplacian import NEIGHBOURS
from bids_app.qsm.operators.sphere import SphereMean, less_mean, sphere_weights
from bids_app.qsm.solvers.dipole_sources import SourceProblem, fit_sources
from bids_app.qsm.solvers.laplace import LaplaceProblem, solve_laplace

GRID = Grid((48, 45, 40), (1.0, 1.1, 1.3), (0.2, -0.3, 1.0))
METHODS = sorted(qsm.BACKGROUND)
#: Methods of successive steps, by their stopping rule.
ITERATIVE = [m for m in METHODS if hasattr(qsm.BACKGROUND[m].params(), "tolerance")]
#: What may be left of a background, as a share of its standard deviation: of smooth fields, and of a sphere of air
#: that all but touches the object.
LEFT = {
    "harperella": (0.02, 0.02),
    "ismv": (0.02, 0.02),
    "lbv": (0.02, 0.04),
    "pdf": (0.05, 0.08),
    "resharp": (0.02, 0.02),
    "tfi": (0.04, 0.06),
    "vsharp": (0.02, 0.02),
}
#: The same of a method that is not named above.
LEFT_AT_MOST = (0.05, 0.1)


def axes_mm(grid):
    return np.meshgrid(
        *[(np.arange(n) - n // 2) * v for n, v in zip(grid.shape, grid.voxel_size, strict=True)], indexing="ij"
    )


def problem(grid=GRID):
    x, y, z = axes_mm(grid)
    mask = (x / 20) ** 2 + (y / 21) ** 2 + (z / 22) ** 2 < 1
    chi = 0.1 * ((x - 5) ** 2 + y**2 + z**2 < 36) - 0.05 * ((x + 8) ** 2 + (y - 4) ** 2 + z**2 < 25)
    return chi.astype(np.float32), mask


def remove(name, field, mask, grid=GRID, **changes):
    method = qsm.BACKGROUND[name]
    default = method.params()
    calls = []
    local, valid = method(
        field,
        mask,
        grid,
        params=type(default)(**(default.to_mapping() | changes)),
        progress=lambda done, total: calls.append((done, total)),
    )
    return local, valid, calls


def harmonic(coefficients):
    """A harmonic polynomial of degree 3 in units of about 1 at the surface of the object."""
    x, y, z = (a / 20 for a in axes_mm(GRID))
    terms = (x, y, z, x * y, y * z, x * z, x**2 - y**2, 2 * z**2 - x**2 - y**2, x * y * z, x * (4 * z**2 - x**2 - y**2))
    return sum(c * t for c, t in zip(coefficients, terms, strict=True)).astype(np.float32)


@pytest.mark.parametrize("name", METHODS)
@settings(deadline=None, max_examples=4)
@given(st.lists(st.floats(-1, 1), min_size=10, max_size=10).filter(lambda c: np.abs(c).max() > 0.1))
def test_harmonic_polynomials_are_removed(name, coefficients):
    _, mask = problem()
    field = harmonic(coefficients) + np.float32(0.5)
    local, valid, _ = remove(name, field, mask)
    assert np.std(local[valid]) < LEFT.get(name, LEFT_AT_MOST)[0] * np.std(field[valid])
    assert valid.sum() > 0.25 * mask.sum()
    assert not (valid & ~mask).any()
    assert not local[~valid].any()


@pytest.mark.parametrize("name", METHODS)
@settings(deadline=None, max_examples=4)
@given(st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda d: np.linalg.norm(d) > 0.2), st.floats(32, 60))
def test_the_field_of_an_outside_dipole_is_removed(name, direction, distance):
    _, mask = problem()
    place = np.array(direction) / np.linalg.norm(direction) * distance
    offset = [a - p for a, p in zip(axes_mm(GRID), place, strict=True)]
    radius = np.sqrt(sum(o**2 for o in offset))
    along = sum(o * b for o, b in zip(offset, GRID.b0_dir, strict=True))
    field = (3000 * (3 * along**2 - radius**2) / radius**5).astype(np.float32)
    local, valid, _ = remove(name, field, mask)
    assert np.std(local[valid]) < 2 * LEFT.get(name, LEFT_AT_MOST)[0] * np.std(field[valid])


@pytest.mark.parametrize("name", METHODS)
def test_a_source_next_to_the_object_is_removed_and_the_local_field_kept(name):
    chi, mask = problem()
    x, y, z = axes_mm(GRID)
    # The analytic field: one made through the truncated dipole kernel rings around a source of sharp surface, and
    # that ringing is not harmonic.
    offset = (x, y - 4, z - 27)
    distance = np.sqrt(sum(o**2 for o in offset))
    along = sum(o * b for o, b in zip(offset, GRID.b0_dir, strict=True))
    background = (9 * 4**3 / 3 * (3 * along**2 - distance**2) / np.maximum(distance, 4) ** 5).astype(np.float32)
    left, valid, _ = remove(name, background, mask)
    assert np.std(left[valid]) < LEFT.get(name, LEFT_AT_MOST)[1] * np.std(background[valid])
    local = forward_field(chi, GRID)
    total = local + background
    before = total.copy()
    field, valid, _ = remove(name, total, mask)
    assert np.array_equal(total, before)
    assert field.dtype == np.float32
    assert valid.dtype == bool
    assert np.corrcoef(field[valid], local[valid])[0, 1] > 0.85
    assert np.corrcoef(total[valid], local[valid])[0, 1] < 0.4


@pytest.mark.parametrize("name", METHODS)
def test_empty_masks_and_wrong_shapes_are_refused(name):
    chi, mask = problem()
    with pytest.raises(ValueError, match="mask is empty"):
        remove(name, chi, np.zeros_like(mask))
    with pytest.raises(ValueError, match="shape"):
        remove(name, chi[1:], mask[1:])


@pytest.mark.parametrize("name", METHODS)
def test_scale_bytes_and_values_that_are_not_finite(name):
    chi, mask = problem()
    field = forward_field(chi, GRID) + harmonic([0.3] * 10)
    first, valid, _ = remove(name, field, mask)
    again, _, _ = remove(name, field, mask)
    assert first.tobytes() == again.tobytes()
    doubled, _, _ = remove(name, 2 * field, mask)
    np.testing.assert_allclose(doubled, 2 * first, atol=2e-4)
    field[24, 22, 20] = np.nan
    field[~mask] = np.inf
    broken, valid, _ = remove(name, field, mask)
    assert np.isfinite(broken).all()
    assert not valid[24, 22, 20]


@pytest.mark.parametrize("name", METHODS)
def test_permuting_the_axes_with_b0_permutes_the_result(name):
    chi, mask = problem()
    field = forward_field(chi, GRID) + harmonic([0.2, -0.3, 0.1, 0.2, 0.3, -0.2, 0.1, 0.3, 0.1, 0.2])
    order = (2, 0, 1)
    turned = Grid(*(tuple(a[i] for i in order) for a in (GRID.shape, GRID.voxel_size, GRID.b0_dir)))
    straight, valid, _ = remove(name, field, mask)
    result, turned_valid, _ = remove(name, field.transpose(order), mask.transpose(order), turned)
    assert np.array_equal(turned_valid, valid.transpose(order))
    assert np.abs(result - straight.transpose(order)).max() < 0.02 * np.abs(straight).max()


@pytest.mark.parametrize("name", ITERATIVE)
def test_the_tolerance_stops_and_iterations_are_reported(name):
    chi, mask = problem()
    field = forward_field(chi, GRID) + harmonic([0.5, 0.2, -0.2, 0.3, 0.1, 0.1, 0.2, -0.3, 0.1, 0.2])
    most = 25
    counts = []
    once = {"corrections": 0} if name == "lbv" else {}
    for tolerance in (0.5, 0.01, 0.0):
        _, _, calls = remove(name, field, mask, tolerance=tolerance, iterations=most, **once)
        assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
        assert all(total == most for _, total in calls)
        counts.append(len(calls))
    assert counts[0] < counts[1] <= counts[2] == most


def test_lbv_frees_its_boundary_values_of_the_sources_inside():
    _, mask = problem()
    folds = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=GRID.shape), 2.5)
    chi = (0.05 * np.sign(folds) * mask).astype(np.float32)
    chi -= chi.mean(where=mask) * mask
    truth = forward_field(chi, GRID)
    field = truth + 4 * harmonic([0.5, 0.2, -0.2, 0.3, 0.1, 0.1, 0.2, -0.3, 0.1, 0.2])
    interior = ndimage.binary_erosion(mask, NEIGHBOURS)
    errors = []
    for corrections in (0, 3):
        local, valid, calls = remove("lbv", field, mask, corrections=corrections)
        assert np.array_equal(valid, mask if corrections else interior)
        assert [done for done, _ in calls] == list(range(1, len(calls) + 1))
        errors.append(np.std((local - truth)[interior]) / np.std(truth[interior]))
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("name", ["pdf", "tfi"])
def test_weights_keep_wrong_voxels_from_spreading(name):
    chi, mask = problem()
    local = forward_field(chi, GRID)
    field = local + harmonic([0.3] * 10)
    wrong = np.zeros_like(mask)
    wrong[20:28, 34:38, 18:24] = True
    field[wrong] += 2
    weights = np.where(wrong, 0, 1).astype(np.float32)
    blind, valid = qsm.BACKGROUND[name](field, mask, GRID)
    seeing, _ = qsm.BACKGROUND[name](field, mask, GRID, weights=weights)
    good = valid & ~wrong
    assert np.std((seeing - local)[good]) < 0.3 * np.std((blind - local)[good])


@pytest.mark.parametrize("name", sorted(qsm.BACKGROUND))
def test_a_wrong_field_without_weight_at_the_rim_changes_nothing_elsewhere(name):
    chi, mask = problem()
    field = forward_field(chi, GRID) + harmonic([0.3] * 10)
    x, y, z = np.indices(GRID.shape)
    pit = mask & (np.abs(x - np.flatnonzero(mask.any((1, 2)))[0]) < 4) & ((y - 24) ** 2 + (z - 20) ** 2 < 50)
    assert pit.any()
    assert np.array_equal(ndimage.binary_fill_holes(mask & ~pit), mask & ~pit)
    weights = np.where(pit, 0, 1).astype(np.float32)
    result, valid = qsm.BACKGROUND[name](np.where(pit, 5, field).astype(np.float32), mask, GRID, weights=weights)
    alone, smaller = qsm.BACKGROUND[name](field, mask & ~pit, GRID, weights=weights)
    assert np.array_equal(result, alone)
    assert np.array_equal(valid, smaller)
    assert not valid[pit].any()


@settings(deadline=None, max_examples=10)
@given(st.tuples(*[st.integers(3, 12)] * 3), st.tuples(*[st.integers(0, 9)] * 3))
def test_pruned_transforms_are_the_whole_ones(box, more):
    shape = tuple(b + m for b, m in zip(box, more, strict=True))
    small = np.random.default_rng(0).normal(size=box).astype(np.float32)
    inner = tuple(slice(0, b) for b in box)
    large = np.zeros(shape, np.float32)
    large[inner] = small
    spectrum = rfftn_padded(small, shape)
    np.testing.assert_allclose(spectrum, rfftn(large), atol=1e-4)
    np.testing.assert_allclose(irfftn_cropped(spectrum.copy(), shape, inner), small, atol=1e-5)
    np.testing.assert_allclose(irfftn(spectrum, shape), large, atol=1e-5)


def source_problem(inner_sd=1.0, ridge=1.0):
    _, mask = problem()
    rng = np.random.default_rng(0)
    weight = (mask[4:44, 3:42, 3:37] * rng.uniform(0.5, 1.5, (40, 39, 34))).astype(np.float32)
    field = rng.normal(size=weight.shape).astype(np.float32)
    return SourceProblem(field, weight, Grid((54, 50, 45), GRID.voxel_size, GRID.b0_dir), inner_sd, 10.0, ridge)


def test_dipole_operators_are_adjoint_and_the_curvature_is_their_diagonal():
    task = source_problem()
    dipoles = DipoleConvolution(task.grid, task.box)
    rng = np.random.default_rng(1)
    sources = rng.normal(size=task.grid.shape).astype(np.float32)
    image = rng.normal(size=task.field.shape).astype(np.float32)
    left, right = np.vdot(dipoles.field(sources), image), np.vdot(sources, dipoles.adjoint(image))
    assert left == pytest.approx(right, rel=1e-3)
    curvature = dipoles.curvature(task.weight)
    for place in ((10, 20, 15), (50, 45, 40), (0, 0, 0)):
        unit = np.zeros(task.grid.shape, np.float32)
        unit[place] = 1
        expected = np.sum((task.weight * dipoles.field(unit)) ** 2)
        assert curvature[place] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_fitted_sources_satisfy_the_normal_equations():
    task = source_problem()
    dipoles, prior = DipoleConvolution(task.grid, task.box), task.prior()
    sources = fit_sources(task, 300, 1e-5)
    pull = prior**2 * dipoles.adjoint(task.weight**2 * (task.field - dipoles.field(sources)))
    assert np.linalg.norm(pull - task.ridge * sources) < 1e-2 * np.linalg.norm(sources)
    # Without a prior inside, no source is there.
    assert not fit_sources(source_problem(0.0, 0.0), 5, 0.0)[task.inside()].any()


@pytest.mark.parametrize("radius", [1.0, 3.0, 6.5, 12.0])
def test_the_mean_over_a_sphere_leaves_harmonic_fields(radius):
    weights = sphere_weights(radius, GRID.voxel_size)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert all(n % 2 for n in weights.shape)
    assert np.array_equal(weights, weights[::-1, ::-1, ::-1])
    x, y, z = np.meshgrid(
        *[np.arange(-(n // 2), n // 2 + 1) * v for n, v in zip(weights.shape, GRID.voxel_size, strict=True)],
        indexing="ij",
    )
    # Second moments along the axes agree, but for voxels of the sphere's own size; those of a ball are r^2 / 5.
    moments = [float((weights * a**2).sum()) for a in (x, y, z)]
    if radius > 2:
        assert np.ptp(moments) < 0.06 * max(moments)
        assert np.mean(moments) == pytest.approx(radius**2 / 5, rel=0.25)
    for axis in range(3):  # the six neighbours are always there
        assert np.moveaxis(weights, axis, 0).sum(axis=(1, 2))[weights.shape[axis] // 2 - 1] > 0


def test_a_sphere_fits_where_all_its_voxels_are_inside():
    _, mask = problem()
    weights = sphere_weights(5.0, GRID.voxel_size)
    expected = ndimage.binary_erosion(mask, weights > 0)
    assert np.array_equal(SphereMean(5.0, GRID).fits(mask.astype(np.float32)), expected)


@pytest.mark.parametrize("levels", [1, 3])
def test_laplace_solution_is_harmonic_with_its_boundary_values(levels):
    _, mask = problem()
    interior = ndimage.binary_erosion(mask, NEIGHBOURS)
    boundary = mask & ~interior
    truth = harmonic([0.5, 0.2, -0.2, 0.3, 0.1, 0.1, 0.2, -0.3, 0.1, 0.2])
    calls = []
    problem_of_truth = LaplaceProblem(truth, interior, boundary, GRID.voxel_size)
    result = solve_laplace(problem_of_truth, 500, 1e-4, levels, lambda n, _: calls.append(n))
    np.testing.assert_array_equal(result[boundary], truth[boundary])
    assert np.abs(result - truth)[mask].max() < 2e-3 * np.abs(truth[mask]).max()
    if levels > 1:
        assert len(calls) < 60
    constant = solve_laplace(replace(problem_of_truth, values=np.zeros_like(truth)), 500, 1e-4, levels)
    assert not constant.any()


@pytest.mark.parametrize("name", ["resharp", "ismv", "lbv", "vsharp", "harperella", "msmv"])
def test_masks_too_thin_are_refused(name):
    chi, mask = problem()
    with pytest.raises(ValueError, match="too thin"):
        remove(name, chi, mask & (np.arange(48) % 2 == 0)[:, None, None])


@pytest.mark.parametrize("radius", [1.0, 4.3, 9.0])
def test_erosion_by_words_is_erosion(radius):
    rng = np.random.default_rng(1)
    mask = ndimage.gaussian_filter(rng.normal(size=(23, 26, 140)), 4) > -0.03
    stencil = sphere_weights(radius, GRID.voxel_size)
    expected = ndimage.binary_erosion(mask, stencil > 0, border_value=0)
    assert expected.any() or radius > 4
    assert np.array_equal(Erosion(mask, 12).by(stencil), expected)
    assert np.array_equal(erode_by_sphere(mask, radius, GRID.voxel_size), expected)


@pytest.mark.parametrize("radius", [0.5, 3.0, 5.0])
def test_what_is_near_a_mask_is_added_to_it_up_to_the_edge_of_the_volume(radius):
    mask = np.zeros(GRID.shape, bool)
    mask[0:3, 20:30, 15:18] = mask[30, 30, 39] = True
    grown = dilate_by_sphere(mask, radius, GRID.voxel_size)
    sphere = sphere_weights(radius, GRID.voxel_size) > 0
    assert np.array_equal(grown, ndimage.binary_dilation(mask, sphere))
    distance = ndimage.distance_transform_edt(~mask, sampling=GRID.voxel_size)
    assert grown[distance <= radius].all()
    assert distance[grown].max() <= max(radius, 1.3) + 1.3


def test_sums_voxel_by_voxel_are_the_mean_over_the_sphere():
    field = np.random.default_rng(2).normal(size=GRID.shape).astype(np.float32)
    weights = sphere_weights(4.0, GRID.voxel_size)
    chosen = np.flatnonzero(Erosion(np.ones(GRID.shape, bool), 6).by(weights))
    out = np.zeros_like(field)
    less_mean(field, chosen, weights, out)
    expected = field - ndimage.correlate(field, weights)
    assert chosen.size > 100
    assert np.allclose(out.reshape(-1)[chosen], expected.reshape(-1)[chosen], atol=1e-5)
    assert np.count_nonzero(out) == chosen.size
