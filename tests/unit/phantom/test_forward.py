"""The forward model against what is known in closed form."""

import numpy as np
import pytest

from bids_app.phantom import forward
from bids_app.qsm.grid import Grid
from bids_app.qsm.units import GAMMA_MHZ_PER_T


def sphere_field(grid, centre, radius, chi, b0):
    """Return the field outside and inside a sphere in free space: chi/3 (a/r)^3 (3 cos^2 - 1), and 0."""
    axes = [np.arange(n) * v for n, v in zip(grid.shape, grid.voxel_size, strict=True)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) - centre
    r = np.linalg.norm(offset, axis=-1)
    cos = offset @ np.asarray(b0) / np.maximum(r, 1e-9)
    return np.where(r > radius, chi / 3 * (radius / np.maximum(r, 1e-9)) ** 3 * (3 * cos**2 - 1), 0), r


def ball(grid, centre, radius):
    axes = [np.arange(n) * v for n, v in zip(grid.shape, grid.voxel_size, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    r = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return np.clip(0.5 - (r - radius) / grid.voxel_size[0], 0, 1).astype(np.float32)


@pytest.mark.parametrize("b0", [(0, 0, 1), (0, 0.6, 0.8)])
def test_a_sphere_close_to_the_border_has_the_free_space_field(b0):
    grid = Grid((54, 60, 48), (1.0, 1.0, 1.0), b0)
    far = forward.FarGrid.around(grid, [(30, 30)] * 3)
    centre, radius = np.array([26.0, 30.0, 20.0]), 10.0
    chi = 2 * ball(grid, centre, radius)
    field = forward.free_field(chi, grid, far, np.zeros(far.grid.shape, np.float32))
    expected, r = sphere_field(grid, centre, radius, 2.0, grid.b0_dir)
    check = (r > radius + 3) | (r < radius - 3)
    assert np.abs(field - expected)[check].max() < 0.04
    # The periodic box alone would be wrong by much more.
    assert np.abs(forward.periodic_field(chi, grid) - expected)[check].max() > 0.1


def test_what_lies_outside_the_fine_box_acts_inside():
    grid = Grid((48, 48, 48), (1.0, 1.0, 1.0))
    far = forward.FarGrid.around(grid, [(30, 30)] * 3)
    centre = np.array([24.0, 24.0, -20.0])
    coarse = Grid(far.grid.shape, far.grid.voxel_size)
    shift = np.asarray(far.before) * 3.0 - 1.0  # coarse voxel centres against the fine ones
    source = ball(coarse, centre + shift, 9.0)
    source *= 4 / 3 * np.pi * 9.0**3 / (source.sum() * 27)  # the moment counts, not how a coarse ball is drawn
    chi_far = np.asarray(5 * source, np.float32)
    field = forward.free_field(np.zeros(grid.shape, np.float32), grid, far, chi_far)
    expected, _ = sphere_field(grid, centre, 9.0, 5.0, grid.b0_dir)
    inner = slice(9, -9)
    error = (field - expected)[inner, inner, inner]
    assert np.abs(error).max() < 0.02 * np.abs(expected[inner, inner, inner]).max()


def test_a_head_in_an_oblique_field_leaves_no_ringing_where_there_are_no_sources():
    grid = Grid((54, 60, 48), (1.0, 1.0, 1.0), (0.3, 0.4, 0.87))
    far = forward.FarGrid.around(grid, [(30, 30)] * 3)
    shell = 9 * (ball(grid, np.array([26.0, 30.0, 24.0]), 20.0) - ball(grid, np.array([26.0, 30.0, 24.0]), 16.0))
    field = forward.block_mean(forward.free_field(shell, grid, far, np.zeros(far.grid.shape, np.float32)), (2, 2, 2))
    # The field of what lies around is harmonic in the middle: it equals the mean of its neighbours.
    cube = (slice(10, 16), slice(12, 18), slice(9, 15))
    neighbours = sum(np.roll(field, step, axis) for axis in range(3) for step in (-1, 1)) / 6
    assert np.std((field - neighbours)[cube]) < 1e-3


def test_phase_is_gamma_b0_field_te_and_magnitude_decays():
    times, tesla = (0.003, 0.011), 3.0
    field = np.full((4, 4, 4), 0.25, np.float32)
    rate = np.full_like(field, 40.0)
    signal = forward.gradient_echo(np.ones_like(field), rate, field, times, tesla, 2)
    assert signal.shape == (2, 2, 2, 2)
    for e, time in enumerate(times):
        expected = np.exp(2j * np.pi * GAMMA_MHZ_PER_T * tesla * 0.25 * time - 40 * time)
        np.testing.assert_allclose(signal[e], expected, rtol=1e-4)


def test_a_gradient_across_a_voxel_dephases_it():
    ramp = np.zeros((2, 2, 2), np.float32)
    half_turn = 0.5 / (GAMMA_MHZ_PER_T * 3 * 0.01)
    ramp[1] = half_turn
    ones = np.ones_like(ramp)
    signal = forward.gradient_echo(ones, 0 * ones, ramp, (0.005, 0.01), 3.0, 2)
    assert abs(signal[0, 0, 0, 0]) == pytest.approx(np.cos(np.pi / 4), abs=1e-3)
    assert abs(signal[1, 0, 0, 0]) < 1e-3


def test_the_shim_takes_second_order_harmonics_and_leaves_the_rest():
    axes = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    at = np.stack(axes, axis=-1).astype(np.float32)
    mask = np.linalg.norm(at, axis=-1) < 0.9
    field = (0.3 + at[..., 0] - 0.5 * at[..., 1] * at[..., 2]).astype(np.float32)
    left = field - forward.harmonics(at) @ forward.shim(field[mask], at[mask])
    assert np.abs(left).max() < 1e-5
    cubic = at[..., 0] ** 3
    assert np.ptp(forward.harmonics(at) @ forward.shim(cubic[mask], at[mask]) - cubic) > 0.1
