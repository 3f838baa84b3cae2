"""Single-step TGV: its operators, steps, stopping, phase input and accuracy."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.tgv import TgvParams, phase_to_ppm, tgv
from bids_app.qsm.kernels import tgv as tgv_kernels
from bids_app.qsm.kernels.rows import Layout
from bids_app.qsm.kernels.spans import PIECES, Spans
from bids_app.qsm.kernels.wrapped import wrapped_laplacian
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.laplacian import difference_weights, point_weights
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.solvers.domain import MARGIN, Domain
from bids_app.qsm.solvers.primal_dual import Problem, State, coarsen, refine
from bids_app.qsm.solvers.steps import Stencils, StepSizes, scaled_norm

GRID = Grid((44, 40, 54), (1.0, 1.1, 1.3), (0.3, -0.2, 0.9))
QUICK = TgvParams(iterations=100)


def axes_mm(grid):
    return np.meshgrid(
        *[(np.arange(n) - n / 2) * v for n, v in zip(grid.shape, grid.voxel_size, strict=True)], indexing="ij"
    )


def brain(grid=GRID, noise=0.001, outside=3.0):
    """Nuclei in an ellipsoid under the background of a strong source near it."""
    rng = np.random.default_rng(7)
    x, y, z = axes_mm(grid)
    mask = (x / 19) ** 2 + (y / 19) ** 2 + (z / 20) ** 2 < 1
    chi = np.zeros(grid.shape)
    for centre, radius, value in (((6, 0, 0), 6, 0.12), ((-7, 3, 2), 5, 0.08), ((0, -8, -5), 5, -0.06)):
        chi += value * (sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True)) < radius**2)
    chi = (chi * mask).astype(np.float32)
    # The source's field is the analytic one: a voxelised ball of 3 ppm would ring far into the mask.
    along = sum(a * b for a, b in zip((x, y - 5, z + 30), grid.b0_dir, strict=True))
    squared = x**2 + (y - 5) ** 2 + (z + 30) ** 2
    source = outside * 5**3 / 3 * (3 * along**2 / squared - 1) / np.maximum(squared, 25) ** 1.5
    field = forward_field(chi, grid) + source + noise * rng.normal(size=grid.shape)
    return chi, mask, (field + 0.5).astype(np.float32)


def error(estimate, chi, mask):
    a, b = estimate[mask] - estimate[mask].mean(), chi[mask] - chi[mask].mean()
    return 100 * np.linalg.norm(a - b) / np.linalg.norm(b)


def random_domain(grid, rng):
    mask = np.zeros(grid.shape, bool)
    mask[2:-2, 2:-2, 2:-2] = rng.random([n - 4 for n in grid.shape]) < 0.97
    return Domain.of(mask, grid, strict=bool(rng.integers(2)))


@settings(deadline=None, max_examples=15)
@given(
    st.tuples(*[st.floats(0.4, 3)] * 3),
    st.sampled_from([(0, 0, 1), (1, 0, 0), (0.3, -0.4, 0.8), (-1, 1, 1)]),
    st.integers(0, 1000),
)
def test_primal_and_dual_kernels_are_adjoint_and_their_norm_is_below_one(voxel_size, b0, seed):
    rng = np.random.default_rng(seed)
    grid = Grid((13, 12, 14), voxel_size, b0)
    domain = random_domain(grid, rng)
    stencils = Stencils.of(grid)
    steps = StepSizes.of(stencils, (50, 5, 2, 50, 0.4, 1.2), 1.0)
    layout = domain.layout
    # With every plane a slab of its own, the ends' primal step is that of all, and the sweep has the dual step alone.
    slabs = np.arange(grid.shape[0] + 1, dtype=np.uint64)
    zero, unit, both = np.zeros(layout.size, np.float32), np.float32(1), (steps.taus, steps.sigmas)

    def forward(primal):  # sigma K x
        state, radii = State.zero(zero.size), (np.float32(1e30), np.float32(1e30))
        fields = state.primal, primal, state.dual
        tgv_kernels.sweep(fields, (zero, zero), domain.regions, slabs, stencils.weights, both, radii, unit, False)
        return state.dual

    def backward(dual):  # tau K^T y
        primal = State.zero(zero.size).primal
        fields = primal, State.zero(zero.size).primal, dual
        tgv_kernels.primal_ends(fields, (zero, zero), domain.regions, slabs, stencils.weights, both, unit)
        return tuple(-x for x in primal)

    regions = [layout.take(r) for r in (domain.dilated, domain.mask, domain.dilated, domain.mask, domain.data)]
    dilated, mask, _, _, data = regions
    sigma = (steps.sigmas[0], *[steps.sigmas[1]] * 3, *[steps.sigmas[2]] * 6)
    tau = (steps.taus[0], steps.taus[1], *[steps.taus[2]] * 3)
    twice = (1, 1, 1, 1, 1, 1, 1, 2, 2, 2)

    def dot_primal(a, b):
        return sum(float(np.vdot(u, v)) / float(t) for u, v, t in zip(a, b, tau, strict=True))

    def dot_dual(a, b):
        return sum(n * float(np.vdot(u, v)) / float(s) for u, v, s, n in zip(a, b, sigma, twice, strict=True))

    x = tuple((rng.normal(size=zero.size) * r).astype(np.float32) for r in (dilated, mask, dilated, dilated, dilated))
    y = tuple((rng.normal(size=zero.size) * r).astype(np.float32) for r in (data, *[mask] * 9))
    image, back = forward(x), backward(y)
    scale = np.sqrt(dot_dual(image, image) * dot_dual(y, y))
    assert dot_dual(image, y) == pytest.approx(dot_primal(x, back), abs=1e-4 * scale)
    for _ in range(30):
        size = np.sqrt(dot_primal(x, x))
        x = backward(forward(tuple(u / np.float32(size) for u in x)))
    assert np.sqrt(np.sqrt(dot_primal(x, x))) <= 1.0


@pytest.mark.parametrize("count", [1, 2, 3, 5, 13])
def test_slabs_do_not_change_an_iteration(count):
    rng = np.random.default_rng(count)
    grid = Grid((13, 12, 14), (1.0, 1.2, 1.5), (0.3, -0.4, 0.8))
    domain = random_domain(grid, rng)
    stencils = Stencils.of(grid)
    steps = StepSizes.of(stencils, (50, 5, 2, 50, 0.4, 1.2), 1.0)
    both, radii, rho = (steps.taus, steps.sigmas), (np.float32(0.4), np.float32(1.2)), np.float32(1.8)
    data = tuple(rng.normal(size=domain.layout.size).astype(np.float32) for _ in range(2))
    results = []
    for slabs in (np.arange(grid.shape[0] + 1, dtype=np.uint64), domain.in_dilated.slabs(count)):
        assert len(slabs) <= grid.shape[0] + 1
        state, bars = State.zero(domain.layout.size), State.zero(domain.layout.size).primal
        fields, settled = (state.primal, bars, state.dual), (data[0], np.abs(data[1]))
        arguments = fields, settled, domain.regions, slabs, stencils.weights, both
        for _ in range(4):
            tgv_kernels.primal_ends(*arguments, rho)
            tgv_kernels.sweep(*arguments, radii, rho, False)
        results.append(np.stack([*state.primal, *state.dual]))
    if np.diff(slabs.astype(int)).min() >= 4:  # two iterations at a time are the same
        state = State.zero(domain.layout.size)
        arguments = (state.primal, bars, state.dual), *arguments[1:]
        for _ in range(2):
            tgv_kernels.primal_ends(*arguments, rho)
            tgv_kernels.sweep(*arguments, radii, rho, True)
            tgv_kernels.primal_ends(*arguments, rho)
            tgv_kernels.dual_ends(*arguments, radii, rho)
        np.testing.assert_array_equal(results[0], np.stack([*state.primal, *state.dual]))
    else:
        assert count > 2
    assert len(domain.in_dilated.slabs(count)) - 1 <= count
    assert np.abs(results[0]).min(axis=0).max() > 0
    np.testing.assert_array_equal(results[0], results[1])


def test_the_norm_is_reached_on_a_large_mask():
    stencils = Stencils.of(Grid((8, 8, 8), (1, 1, 1), (0, 0, 1)))
    # The Laplacian alone, at the highest frequency: 12 / mm2, times 1.01 for what lies between the frequencies.
    norm = scaled_norm(stencils, np.array([1e-12, 1.0, 1e-12]), np.array([1.0, 1e-12, 1e-12]))
    assert norm == pytest.approx(12 * 1.01, rel=1e-4)


def test_wave_operator_is_the_laplacian_of_the_dipole_field():
    grid = Grid((64, 64, 64), (1.0, 1.0, 1.0), (0.3, -0.4, 0.8))
    chi = np.exp(-sum(a**2 for a in axes_mm(grid)) / (2 * 5.0**2)).astype(np.float32)
    field = forward_field(chi, grid)
    stencils = Stencils.of(grid)

    def apply(array, stencil):
        ways = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1))
        out = stencil[0] * array
        for way, weight in zip(ways, stencil[1:], strict=True):
            back = tuple(-step for step in way)
            out = out + weight * (np.roll(array, way, (0, 1, 2)) + np.roll(array, back, (0, 1, 2)))
        return out[8:-8, 8:-8, 8:-8]

    centre, along, across = point_weights(grid.voxel_size)
    wave, laplacian = apply(chi, stencils.wave), apply(field, np.array([centre, *along, *across, *across]))
    assert np.linalg.norm(wave - laplacian) < 0.015 * np.linalg.norm(laplacian)


@pytest.mark.parametrize("long", [1, 4])
def test_the_datas_laplacian_leaves_little_of_a_background(long):
    grid = Grid((40, 40, 12), (1.0, 1.0, float(long)), (0, 0, 1))
    x, y, z = axes_mm(grid)
    field = (1000 / np.sqrt((x - 3) ** 2 + (y + 45) ** 2 + (z - 5) ** 2)).astype(np.float32)  # a monopole beside
    mask = np.zeros(grid.shape, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    mask[2, 2] = False
    domain = Domain.of(mask, grid, strict=True)
    along, across = (weights.astype(np.float32) for weights in difference_weights(grid.voxel_size))
    strides = np.uint64(40 * 12), np.uint64(12)

    def laplacian(values, products, period=0.0):
        out, inner = np.zeros(values.size, np.float32), Spans.of(domain.data).argument
        wrapped_laplacian(values.ravel(), mask.ravel(), inner, strides, along, products, np.float32(period), out)
        return out

    plain = laplacian(field, across)
    largest = [np.abs(out[domain.data.ravel()]).max() for out in (plain, laplacian(field, 0 * across))]
    assert largest[0] < (0.3 if long == 1 else 0.05) * largest[1]
    # Of phase the wraps make no difference.
    phase = (field - 2 * np.pi * np.rint(field / (2 * np.pi))).astype(np.float32)
    wrapped = laplacian(phase, across, 2 * np.pi)
    np.testing.assert_allclose(wrapped, plain, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_spans_hold_the_region_and_pieces_all_rows(seed, density):
    region = np.random.default_rng(seed).random((5, 6, 7)) < density
    spans = Spans.of(region)
    flat = np.zeros(region.size, int)
    for a, b in zip(spans.start.astype(int), spans.stop.astype(int), strict=True):
        flat[a:b] += 1
    assert np.array_equal(flat.reshape(region.shape), region.astype(int))
    assert spans.voxels == region.sum()
    assert spans.pieces[0] == 0
    assert spans.pieces[-1] == spans.start.size
    assert spans.pieces.size == PIECES + 1
    assert (np.diff(spans.pieces.astype(int)) >= 0).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_layout_keeps_every_neighbour_of_a_region_at_its_offset(seed, density):
    rng = np.random.default_rng(seed)
    region = np.zeros((8, 9, 11), bool)
    region[2:-2, 2:-2, 2:-2] = rng.random((4, 5, 7)) < density
    layout, volume = Layout.of(region), rng.random(region.shape).astype(np.float32)
    field, spans = layout.take(volume), layout.spans(region)
    assert field.size == layout.size
    assert np.array_equal(layout.put(field), np.where(layout.stored, volume, 0))
    start, stop, _, _, beside = spans.argument
    places = [np.arange(a, b) for a, b in zip(start.astype(int), stop.astype(int), strict=True)]
    assert spans.voxels == region.sum()
    ways = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (1, -1), (-1, 1))
    for column, way in enumerate(ways):
        for up in (-1, 0, 1) if 0 in way else (0,):  # the corners are in no stencil
            expected = np.roll(volume, tuple(-w for w in (*way, up)), (0, 1, 2))[region]
            moves = beside[:, column].astype(np.int64)
            values = [field[place + move + up] for place, move in zip(places, moves, strict=True)]
            assert np.array_equal(np.concatenate([*values, []]), expected)


@pytest.mark.parametrize("b0", [(0, 0, 1), (0.3, -0.2, 0.9), (1, 0.2, 0)])
def test_nuclei_are_found_under_a_strong_background(b0):
    grid = Grid(GRID.shape, GRID.voxel_size, b0)
    chi, mask, field = brain(grid)
    before, info = field.copy(), {}
    estimate = tgv(field, mask, grid, params=TgvParams(iterations=300), info=info)
    assert np.array_equal(field, before)
    assert estimate.dtype == np.float32
    assert not estimate[~mask].any()
    assert error(estimate, chi, mask) < 12
    assert np.polyfit(chi[mask], estimate[mask], 1)[0] == pytest.approx(1, abs=0.06)
    assert 0.0008 < info["noise_ppm"] < 0.0015
    assert info["levels"] > 1


def test_the_background_hardly_matters():
    _, mask, with_source = brain()
    without = brain(outside=0.0)[2]
    with_it, here = (tgv(f, mask, GRID, params=TgvParams(iterations=100, noise=0.001)) for f in (with_source, without))
    assert np.std((with_it - here)[mask]) < 0.02 * np.std(here[mask])
    assert np.std((with_source - without)[mask]) > 1.5 * np.std(without[mask])


def test_wrapped_phase_gives_what_the_field_gives():
    _, mask, field = brain()
    scale = phase_to_ppm(0.02, 3.0)
    phase = wrap((field / np.float32(scale)).astype(np.float32))
    assert np.abs(field[mask]).max() > 1.5 * np.pi * scale  # it does wrap
    unwrapped = tgv(field, mask, GRID, params=QUICK)
    wrapped = tgv(phase, mask, GRID, params=QUICK, echo_time=0.02, field_strength=3.0)
    np.testing.assert_allclose(wrapped, unwrapped, atol=2e-4)
    assert np.abs(unwrapped).max() > 0.05


def test_coarse_grids_first_come_nearer_to_the_minimum():
    _, mask, field = brain()
    far = tgv(field, mask, GRID, params=TgvParams(iterations=800, tolerance=0.0, levels=3))
    first, three = (tgv(field, mask, GRID, params=TgvParams(iterations=60, tolerance=0.0, levels=n)) for n in (1, 3))
    assert error(three, far, mask) < 0.85 * error(first, far, mask)


def test_iterations_end_by_the_tolerance():
    _, mask, field = brain()
    counts = []
    for tolerance in (3e-2, 6e-3, 0.0):
        calls, info = [], {}
        tgv(
            field,
            mask,
            GRID,
            params=TgvParams(tolerance=tolerance, iterations=200),
            info=info,
            progress=lambda n, total, c=calls: c.append((n, total)),
        )
        assert [n for n, _ in calls] == list(range(1, info["iterations"] + 1))
        assert all(n <= total for n, total in calls)
        counts.append(info["iterations_finest"])
    assert counts[0] < counts[1] < counts[2] == 200


def test_the_map_scales_with_the_field_and_does_not_know_the_number_of_threads():
    _, mask, field = brain()
    estimate = tgv(field, mask, GRID, params=QUICK)
    scaled = tgv(np.float32(8) * field, mask, GRID, params=QUICK)
    np.testing.assert_allclose(scaled / 8, estimate, atol=1e-5)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        alone = tgv(field, mask, GRID, params=QUICK)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(alone, estimate)


def test_weights_spare_what_they_doubt():
    chi, mask, field = brain()
    rng = np.random.default_rng(2)
    bad = np.zeros(GRID.shape, bool)
    bad[18:26, 8:16, 14:22] = True
    field = field + (0.05 * bad * rng.normal(size=GRID.shape)).astype(np.float32)
    weights = np.where(bad, np.float32(0.02), np.float32(1))
    params = TgvParams(iterations=150, noise=0.001)
    plain, weighted = (tgv(field, mask, GRID, params=params, weights=w) for w in (None, weights))
    assert error(weighted, chi, mask) < error(plain, chi, mask) - 10


def test_a_coarse_problem_is_refined_to_the_same_place():
    _, mask, field = brain()
    box = Crop.with_margin(mask, GRID, MARGIN)
    domain = Domain.of(np.asarray(box.take(mask), bool), box.grid, strict=False)
    values, ones = (domain.layout.take(np.asarray(a, np.float32)) for a in (box.take(field), domain.mask))
    coarse = coarsen(Problem(domain, values, ones))
    assert coarse is not None
    assert coarse.domain.in_mask.voxels == pytest.approx(domain.in_mask.voxels / 8, rel=0.1)
    x = axes_mm(coarse.domain.grid)[0] + coarse.domain.grid.voxel_size[0] * coarse.domain.grid.shape[0] / 2
    layout = coarse.domain.layout
    state = State.zero(layout.size)
    state.primal[0][:] = layout.take(x)
    fine = domain.layout.put(refine(state, coarse.domain, domain).primal[0])
    # The same position in mm: the margin of the coarse box is twice as wide.
    expected = (np.arange(domain.grid.shape[0]) - 2 + 0.5) * domain.grid.voxel_size[0] + 1.5 * 2.0
    medians = np.array([np.median(fine[i][domain.mask[i]]) for i in range(8, 30)])
    np.testing.assert_allclose(medians, expected[8:30], atol=1e-3)


def test_mistakes_are_refused():
    _, mask, field = brain()
    with pytest.raises(ValueError, match="together"):
        tgv(field, mask, GRID, echo_time=0.02)
    with pytest.raises(ValueError, match="echo time"):
        tgv(field, mask, GRID, echo_time=0.0, field_strength=3.0)
    with pytest.raises(ValueError, match="mask is empty"):
        tgv(field, np.zeros_like(mask), GRID)
    thin = np.zeros_like(mask)
    thin[20] = True
    with pytest.raises(ValueError, match="too thin"):
        tgv(field, thin, GRID)
    with pytest.raises(ValueError, match="zero everywhere"):
        tgv(field, mask, GRID, weights=np.zeros_like(field))
    assert not tgv(np.zeros_like(field), mask, GRID).any()
    field[22, 20, 18] = np.nan
    assert np.isfinite(tgv(field, mask, GRID, params=QUICK)).all()


def test_it_is_a_single_step_method():
    assert qsm.INVERSIONS["tgv"].function is tgv
    assert "tgv" in qsm.SINGLE_STEP
