"""Phase offsets: MCPC-3D-S in a mask, bipolar readouts."""

import numpy as np
import pytest

from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.bipolar import BipolarParams, bipolar, even_echo_phase, is_bipolar, polarity_of
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.unwrap.romeo import romeo

SHAPE = (42, 36, 29)
GRID = Grid(SHAPE, (2.0, 2.0, 2.5))
EQUAL, UNEQUAL = (0.004, 0.009, 0.014, 0.019), (0.004, 0.008, 0.015, 0.021)


def scene(times, ramp=0.0, noise=1.0, constant=0.0, numbers=None):
    """Return magnitude, phase, field (Hz) and mask; echoes of even number have a ramp (rad per voxel) along y."""
    numbers = range(1, len(times) + 1) if numbers is None else numbers
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.9
    field = (50 * np.exp(-3 * ((x - 0.2) ** 2 + y**2 + z**2)) + 15 * x).astype(np.float32)
    offset = 1.2 * x - 0.8 * y + 0.5 * z**2 + 2
    even = ramp * (np.arange(SHAPE[1]) - (SHAPE[1] - 1) / 2).reshape(1, -1, 1) + constant
    rng = np.random.default_rng(0)
    data = []
    for number, time in zip(numbers, times, strict=True):
        angle = 2 * np.pi * field * time + offset + (0 if number % 2 else even)
        data.append(100 * mask * np.exp(-25 * time) * np.exp(1j * angle))
    signal = np.stack(data)
    signal = signal + noise * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), field, mask


def field_error(corrected, magnitude, times, field, mask):
    unwrapped = romeo(corrected, mask, magnitude=magnitude, echo_times=times)
    error = (fit_linear(unwrapped, magnitude, times, mask).field_hz - field)[mask]
    return float(np.std(error))


def test_offset_within_a_mask_is_removed():
    magnitude, phase, field, mask = scene(EQUAL)
    corrected = mcpc3ds(phase, magnitude, EQUAL, mask, GRID).phase
    assert field_error(corrected, magnitude, EQUAL, field, mask) < 0.5
    difference = wrap(corrected[0] - 2 * np.pi * field * np.float32(EQUAL[0]))[mask]
    assert np.abs(wrap(difference - np.median(difference))).std() < 0.15


@pytest.mark.parametrize("times", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("ramp", [0.04, -0.1])
def test_bipolar_ramp_is_found_and_removed(times, ramp):
    magnitude, phase, field, mask = scene(times, ramp, constant=0.4)
    even = even_echo_phase(phase, magnitude, times, mask, GRID)
    assert is_bipolar(even)
    assert even.axis == 1
    assert even.slope[1] == pytest.approx(ramp, abs=0.004)
    assert even.constant == pytest.approx(0.4, abs=0.05)
    monopolar = mcpc3ds(phase, magnitude, times, mask, GRID).phase
    corrected = bipolar(phase, magnitude, times, mask, GRID, params=BipolarParams()).phase
    error = field_error(corrected, magnitude, times, field, mask)
    assert error < 0.6
    assert error < 0.6 * field_error(monopolar, magnitude, times, field, mask)


@pytest.mark.parametrize("times", [EQUAL, UNEQUAL])
def test_a_monopolar_train_is_not_taken_for_bipolar(times):
    magnitude, phase, _, mask = scene(times)
    assert not is_bipolar(even_echo_phase(phase, magnitude, times, mask, GRID))


@pytest.mark.parametrize("numbers", [(1, 2, 4), (2, 3, 5), (1, 3, 4), (1, 2, 4, 5)])
def test_bipolar_readout_with_echoes_left_out(numbers):
    """The echoes' numbers say which were read in which direction; the first echo's direction is the reference."""
    times, ramp = tuple(0.0045 * number for number in numbers), 0.08
    magnitude, phase, field, mask = scene(times, ramp, constant=0.4, numbers=numbers)
    polarity = polarity_of(numbers)
    even = even_echo_phase(phase, magnitude, times, mask, GRID, polarity)
    assert is_bipolar(even)
    assert even.slope[1] == pytest.approx(ramp if numbers[0] % 2 else -ramp, abs=0.006)
    corrected = bipolar(phase, magnitude, times, mask, GRID, polarity=polarity).phase
    by_place = bipolar(phase, magnitude, times, mask, GRID).phase
    error = field_error(corrected, magnitude, times, field, mask)
    assert error < 1.0
    assert error < 0.5 * field_error(by_place, magnitude, times, field, mask)


def test_echoes_of_one_polarity_show_no_bipolar_readout():
    magnitude, phase, _, mask = scene((0.004, 0.012, 0.02), numbers=(1, 3, 5))
    with pytest.raises(ValueError, match="same readout polarity"):
        bipolar(phase, magnitude, (0.004, 0.012, 0.02), mask, GRID, polarity=polarity_of((1, 3, 5)))


def test_noise_is_not_taken_for_bipolar():
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (3, *SHAPE)).astype(np.float32)
    assert not is_bipolar(even_echo_phase(phase, None, EQUAL[:3], None, GRID))


def test_two_echoes_cannot_be_corrected_for_bipolar_readout():
    magnitude, phase, _, mask = scene(EQUAL[:2])
    with pytest.raises(ValueError, match="three"):
        bipolar(phase, magnitude, EQUAL[:2], mask, GRID)


@pytest.mark.parametrize("whole", [True, False])
def test_a_steep_offset_is_removed_up_to_the_rim_from_two_echoes(whole):
    """The mean of one side errs there by 0.4 rad: two echoes are fitted without an intercept that could take it."""
    times = (0.007, 0.020)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    field = (30 * np.exp(-3 * ((x - 0.2) ** 2 + y**2 + z**2)) + 10 * x).astype(np.float32)
    offset = 6 * (x**2 + y**2 + z**2) - 3 * x
    density = np.where(mask, 1.0, 0.01) * (1 - 0.9 * (np.abs(x**2 + y**2 + z**2 - 0.5) < 0.05))
    rng = np.random.default_rng(2)
    noise = 0.005 * (rng.normal(size=(2, *SHAPE)) + 1j * rng.normal(size=(2, *SHAPE)))
    signal = np.stack([density * np.exp(1j * (2 * np.pi * field * t + offset)) for t in times]) + noise
    magnitude, phase = np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)
    before = phase.copy()
    result = mcpc3ds(phase, magnitude, times, None if whole else mask, GRID)
    np.testing.assert_array_equal(phase, before)
    error = wrap(result.offset - offset)[mask]
    assert np.abs(wrap(error - np.median(error))).max() < 0.2
    assert field_error(result.phase, magnitude, times, field, mask) < 0.5
