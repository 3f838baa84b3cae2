"""Single receive coils: combined without loss of signal, with the field of the object and without their own phases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.coils import combine_coils, combine_one_by_one
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.unwrap.romeo import romeo

SHAPE = (42, 36, 29)
GRID = Grid(SHAPE, (2.0, 2.0, 2.5))
TIMES = (0.004, 0.009, 0.014, 0.019)
X, Y, Z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
MASK = X**2 + Y**2 + Z**2 < 0.9
FIELD = (50 * np.exp(-3 * ((X - 0.2) ** 2 + Y**2 + Z**2)) + 15 * X).astype(np.float32)  # Hz


def coils_of(times, noise=0.5, count=5):
    """Return phase and magnitude of coils around the object, each with a phase of its own that is no constant."""
    rng, images = np.random.default_rng(1), []
    signal = np.stack([100 * MASK * np.exp(-25 * t) * np.exp(2j * np.pi * FIELD * t) for t in times])
    for angle in np.arange(count) * 2 * np.pi / count:
        sensitivity = np.exp(-((X - np.cos(angle)) ** 2) - (Y - np.sin(angle)) ** 2)
        coil = np.exp(1j * (3 * np.sin(angle) * X + 2 * np.cos(angle) * Y + angle * 7))
        image = sensitivity * coil * signal
        images.append(image + noise * (rng.normal(size=image.shape) + 1j * rng.normal(size=image.shape)))
    images = np.stack(images)
    return np.angle(images).astype(np.float32), np.abs(images).astype(np.float32)


def strongest(magnitude):
    """Return the magnitude that no phase has cancelled: the root of the sum of squares, in the object."""
    return np.sqrt(np.square(magnitude[:, 0]).sum(axis=0))[MASK]


def test_several_echoes_give_the_field_without_loss_of_signal():
    phase, magnitude = coils_of(TIMES)
    combined = combine_coils(phase, magnitude, TIMES, MASK, GRID)
    assert combined.phase.shape == (4, *SHAPE)
    assert combined.phase.dtype == combined.magnitude.dtype == np.float32
    assert np.median(combined.magnitude[0][MASK] / strongest(magnitude)) == pytest.approx(1, abs=0.02)
    plain = np.abs((magnitude[:, 0] * np.exp(1j * phase[:, 0])).sum(axis=0))[MASK]
    assert (plain / magnitude[:, 0].sum(axis=0)[MASK]).min() < 0.2  # with their phases coils cancel each other
    unwrapped = romeo(combined.phase, MASK, magnitude=combined.magnitude, echo_times=TIMES)
    error = (fit_linear(unwrapped, combined.magnitude, TIMES, MASK).field_hz - FIELD)[MASK]
    assert np.std(error) < 0.5


def test_a_single_echo_keeps_the_phase_but_for_something_smooth():
    phase, magnitude = coils_of(TIMES[2:3])
    combined = combine_coils(phase, magnitude, TIMES[2:3], MASK, GRID)
    assert np.median(combined.magnitude[0][MASK] / strongest(magnitude)) == pytest.approx(1, abs=0.02)
    rest = wrap(combined.phase[0] - 2 * np.pi * FIELD * np.float32(TIMES[2]))
    curved = [
        np.abs(wrap(np.diff(rest, 2, axis=axis)))[MASK.take(range(1, MASK.shape[axis] - 1), axis)] for axis in range(3)
    ]
    # Noise of 0.5 / 60 rad in each of three values; a coil's own phase turns by a radian within few voxels.
    assert np.median(np.concatenate(curved)) < 0.05


@settings(max_examples=10)
@given(turns=st.lists(st.floats(-3.1, 3.1), min_size=3, max_size=3), echoes=st.sampled_from([1, 2]))
def test_a_constant_phase_of_a_coil_changes_nothing(turns, echoes):
    phase, magnitude = coils_of(TIMES[:echoes], count=3)
    turned = wrap(phase + np.asarray(turns, np.float32).reshape(3, 1, 1, 1, 1))
    first, other = (combine_coils(p, magnitude, TIMES[:echoes], MASK, GRID) for p in (phase, turned))
    np.testing.assert_allclose(other.magnitude, first.magnitude, rtol=1e-3, atol=0.05)
    assert np.abs(wrap(other.phase - first.phase))[:, MASK].max() < 0.02


def test_one_coil_at_a_time_gives_the_same_bytes_and_inputs_stay():
    phase, magnitude = coils_of(TIMES[:2])
    before = phase.copy(), magnitude.copy()
    whole = combine_coils(phase, magnitude, TIMES[:2], None, GRID)
    single = combine_one_by_one(lambda: zip(phase, magnitude, strict=True), TIMES[:2], None, GRID)
    assert whole.phase.tobytes() == single.phase.tobytes()
    assert whole.magnitude.tobytes() == single.magnitude.tobytes()
    np.testing.assert_array_equal(phase, before[0])
    np.testing.assert_array_equal(magnitude, before[1])


@pytest.mark.parametrize("echoes", [1, 2])
def test_values_that_are_not_finite_spoil_their_own_voxel_of_their_own_coil_alone(echoes):
    phase, magnitude = coils_of(TIMES[:echoes])
    clean = combine_coils(phase, magnitude, TIMES[:echoes], MASK, GRID)
    phase[0, 0, 20, 18, 14], magnitude[1, 0, 21, 18, 14] = np.nan, np.inf
    spoilt = combine_coils(phase, magnitude, TIMES[:echoes], MASK, GRID)
    assert np.isfinite(spoilt.phase).all() and np.isfinite(spoilt.magnitude).all()
    assert np.abs(wrap(spoilt.phase - clean.phase))[:, MASK].max() < 0.3
    assert np.median(np.abs(wrap(spoilt.phase - clean.phase))[:, MASK]) < 1e-3


def test_shapes_and_echo_times_are_checked():
    with pytest.raises(ValueError, match="coil"):
        combine_coils(np.zeros((4, *SHAPE)), np.zeros((4, *SHAPE)), TIMES, None, GRID)
    phase, magnitude = coils_of(TIMES[:2])
    with pytest.raises(ValueError, match="ascend"):
        combine_coils(phase, magnitude, (0.02, 0.01), None, GRID)
