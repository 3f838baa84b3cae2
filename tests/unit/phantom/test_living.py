"""What makes the phantom like a living head, against what is known in closed form."""

import numpy as np
import pytest

from bids_app.errors import UsageError
from bids_app.phantom import contrast, living, orientations, sampling, subjects, texture, white_matter
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.forward import block_mean
from bids_app.phantom.from_options import study_from
from bids_app.phantom.options import build_parser
from bids_app.phantom.simulate import make_body, simulate
from bids_app.phantom.template import load_head
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn

BOX = Grid((40, 36, 44), (1.0, 1.0, 1.0), (0.0, 0.6, 0.8))


def study(*options):
    return study_from(build_parser().parse_args(["out", *options]))


def ball(grid, radius=5.0):
    x, y, z = np.ogrid[tuple(slice(0, n) for n in grid.shape)]
    r = np.sqrt(sum((v - n / 2) ** 2 for v, n in zip((x, y, z), grid.shape, strict=True)))
    return np.clip(0.5 - (r - radius), 0, 1).astype(np.float32), r


def uniform(vector, grid):
    unit = np.asarray(vector, np.float32) / np.float32(np.linalg.norm(vector))
    return np.broadcast_to(unit[:, None, None, None], (3, *grid.shape)).copy()


def test_a_tensor_that_points_everywhere_is_an_isotropic_susceptibility():
    chi, _ = ball(BOX)
    product = (np.float32(b) * chi for b in BOX.b0_dir)
    field = irfftn(white_matter.tensor_spectrum(product, BOX), BOX.shape)
    expected = irfftn(dipole_kernel(BOX) * rfftn(chi), BOX.shape)
    np.testing.assert_allclose(field, expected, atol=1e-6)


@pytest.mark.parametrize("fibre", [(0, 0, 1), (1, 0, 0), (0, 1, 1)])
def test_the_field_around_an_anisotropic_sphere_is_that_of_its_moment(fibre):
    grid = Grid((48, 48, 48), (1.0, 1.0, 1.0), (0.0, 0.6, 0.8))
    white, r = ball(grid, 6.0)
    vectors, b0 = uniform(fibre, grid), np.asarray(grid.b0_dir)
    field = white_matter.free_tensor_field(vectors, white, grid, 0.1)
    n = np.asarray(fibre) / np.linalg.norm(fibre)
    moment = 0.1 * ((n @ b0) * n - b0 / 3)
    axes = np.ogrid[tuple(slice(0, m) for m in grid.shape)]
    offset = np.stack(np.broadcast_arrays(*[a - m / 2 for a, m in zip(axes, grid.shape, strict=True)]), -1)
    unit = offset / np.maximum(r, 1e-9)[..., None]
    # A sphere with the volume of the ball; its field along b is a dipole's, V / (4 pi r^3) (3 (u.m)(u.b) - m.b).
    dipole = white.sum() / (4 * np.pi * np.maximum(r, 1) ** 3) * (3 * (unit @ moment) * (unit @ b0) - moment @ b0)
    # Means over eight voxels: a tensor with sharp borders rings from voxel to voxel.
    seen, expected = (block_mean(values, (2, 2, 2)) for values in (field, dipole))
    outside = block_mean(r, (2, 2, 2)) > 10
    assert np.abs(seen - expected)[outside].max() < 0.03 * np.abs(expected[outside]).max()
    assert abs(float(field[r < 3].mean())) < 1e-3  # with the sphere of Lorentz, a sphere has no field inside


def test_the_frequency_of_cylinders_goes_with_the_squared_sine():
    grid, white = Grid((2, 2, 2)), np.full((2, 2, 2), 0.5, np.float32)
    for degrees in (0, 30, 54.7356, 90):
        angle = np.deg2rad(degrees)
        vectors = uniform((np.sin(angle), 0, np.cos(angle)), grid)
        shift = white_matter.cylinder_frequency(vectors, white, (0.0, 0.0, 1.0), 0.02)
        np.testing.assert_allclose(shift, 0.5 * 0.02 * (np.sin(angle) ** 2 - 2 / 3), atol=1e-7)


def test_fibres_are_unit_vectors_of_all_directions_and_turn_with_the_voxel_axes():
    vectors = white_matter.turning_fibres((40, 40, 40), 3.0, np.random.default_rng(0), 0.7)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose((vectors**2).mean(axis=(1, 2, 3)), 1 / 3, atol=0.1)
    person = subjects.people(1, 1)[0]
    body = make_body(person, load_head(), np.zeros((24, 8), np.float32), age=40.0, session=0, tilt=(0.0, 0.0, 0.0))
    model = living.Living(white_matter.WhiteMatter(0.07, 0.017))
    body = living.as_living(body, person, model, Acquisition())
    straight = np.diag([5.0, 5.0, 5.0, 1.0])
    swapped = straight[:, [1, 0, 2, 3]]
    along, turned = (body.fibres_on(affine, (9, 9, 9)) for affine in (straight, swapped))
    np.testing.assert_allclose(turned, along[[1, 0, 2]].transpose(0, 2, 1, 3), atol=1e-5)


def test_texture_has_most_power_where_living_heads_have():
    size = (2.0, 2.0, 2.0)
    values = texture.living_texture((64, 64, 64), size, np.random.default_rng(1))
    assert values.std() == pytest.approx(1, rel=1e-3)
    power = np.abs(np.fft.rfft(values, axis=0)) ** 2
    frequency = np.fft.rfftfreq(64, 2.0)
    assert power[(frequency > 0.1)].mean() < power[(frequency > 0.02) & (frequency < 0.06)].mean()


def test_the_magnitude_has_the_contrast_of_spoiled_echoes():
    assert contrast.steady_state(1.0, 90, 1.0) == pytest.approx(1 - np.exp(-1))
    ernst = np.rad2deg(np.arccos(np.exp(-0.038)))
    angles = np.array([contrast.steady_state(1.0, a, 0.038) for a in (ernst - 2, ernst, ernst + 2)])
    assert angles.argmax() == 1
    table = subjects.tissue_table(subjects.people(1, 1)[0], age=40.0, field_strength=3.0, in_vivo=True)
    weighted = contrast.with_t1_weighting(table, 3.0, 15, 0.038)[:, sampling.M0]
    assert weighted[sampling.WHITE] == table[sampling.WHITE, sampling.M0]
    assert weighted[sampling.FAT] > weighted[sampling.WHITE] > weighted[sampling.GREY] > weighted[sampling.CSF] > 0
    assert weighted[sampling.AIR] == 0


def test_cosmos_of_orientations_without_errors_is_the_susceptibility():
    grid = Grid((48, 48, 48), (2.0, 2.0, 2.0), (0.0, 0.6, 0.8))
    nucleus, r = ball(grid, 5.0)
    chi = (0.1 * nucleus).astype(np.float32)
    spectrum, mask, noise = rfftn(chi), r < 20, np.zeros(grid.shape, np.float32)
    plan = orientations.Orientations(6, 60.0, 0.0)

    def field_of(turned):
        return irfftn(dipole_kernel(turned) * spectrum, turned.shape)

    still = orientations.scan_orientations(field_of, mask, grid, plan, noise, np.random.default_rng(3))
    core = nucleus == 1
    contrast_of = [float(m[core].mean() - m[(r > 10) & (r < 14)].mean()) for m in (still.cosmos, chi)]
    assert contrast_of[0] == pytest.approx(contrast_of[1], rel=0.1)
    moved = orientations.Orientations(6, 60.0, 4.0)
    blurred = orientations.scan_orientations(field_of, mask, grid, moved, noise, np.random.default_rng(3))
    assert np.abs(np.diff(blurred.cosmos, axis=0)).max() < 0.9 * np.abs(np.diff(still.cosmos, axis=0)).max()


def test_orientations_are_tilted_from_the_first():
    b0 = np.array([0.36, 0.48, 0.8])
    directions = list(orientations.tilted(np.random.default_rng(0), 20, 25.0, b0))
    np.testing.assert_allclose(directions[0], b0)
    angles = np.rad2deg(np.arccos([d @ b0 for d in directions[1:]]))
    assert (angles >= 10 - 1e-6).all()
    assert (angles <= 25 + 1e-6).all()


def test_a_living_head_has_field_that_its_susceptibility_does_not_make():
    person = subjects.people(1, 1)[0]
    table = subjects.tissue_table(person, age=person.age, field_strength=3.0)
    head = subjects.shape_head(person, load_head())
    body = make_body(person, head, table, age=person.age, session=0, tilt=(0.0, 0.0, 0.0))
    scan = Acquisition(voxel_size=(6.0,) * 3, echo_times=(0.01, 0.02), snr=1e4, phase_offset=0.0)
    plan = orientations.Orientations(3, 25.0, 0.1)
    model = living.Living(white_matter.WhiteMatter(0.07, 0.017), orientations=plan, field_noise=0.002)
    alive = living.as_living(body, person, model, scan)
    done = [simulate(b, scan, np.random.default_rng(0)) for b in (body, alive)]
    truth = done[1].truth
    np.testing.assert_array_equal(done[0].truth.chi, truth.chi)
    added = truth.local_field - done[0].truth.local_field
    assert 0.002 < added[truth.mask].std() < 0.04
    # What the phase shows is the total field with what the fibres add.
    turns = np.angle(done[1].signal[1] * np.conj(done[1].signal[0])) / (2 * np.pi)
    error = turns - truth.total_field * 42.577478518 * 3 * 0.01
    assert np.median(np.abs(error - np.round(error))[truth.mask]) < 0.01
    reference = living.cosmos_reference(alive, done[1], model, np.random.default_rng(0))
    inside = reference.mask
    assert inside.sum() > 0.5 * truth.mask.sum()
    assert np.corrcoef(reference.local_field[inside], truth.local_field[inside])[0, 1] > 0.5
    assert np.corrcoef(reference.cosmos[inside], truth.chi[inside])[0, 1] > 0.3


def test_options_of_living_heads():
    assert study().living is None
    alive = study("--living", "--tensor", "0.05", "--cosmos", "3").living
    assert alive.white_matter == white_matter.WhiteMatter(0.05, 0.017, 0.7)
    assert (alive.texture_ppm, alive.t1_weighting, alive.field_noise) == (0.015, True, 0.004)
    assert alive.orientations == orientations.Orientations(3, 25.0, 0.1)
    assert study("--t1-weighting").living == living.Living(t1_weighting=True)
    for options, reason in (
        (("--tensor", "0.3"), "at most 0.2"),
        (("--sources", "--living"), "fibres of its own"),
        (("--cosmos", "1"), "2 orientations"),
        (("--cosmos", "3", "--cosmos-tilt", "5"), "10 or more"),
    ):
        with pytest.raises(UsageError, match=reason):
            study(*options)
