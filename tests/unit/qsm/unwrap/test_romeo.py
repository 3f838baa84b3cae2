"""ROMEO against truth: noise, several parts, echoes that agree, the box of the mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.unwrap.romeo import RomeoParams, bounding_box, romeo, romeo_and_quality, romeo_quality

SHAPE = (37, 30, 26)
TIMES = (0.004, 0.010, 0.017)
TURN = 2 * np.pi


def smooth_field(seed, height):
    """Return a smooth random field with ``height`` rad between its extremes."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    field = np.zeros(SHAPE, np.float32)
    for _ in range(3):
        cx, cy, cz = rng.uniform(-0.8, 0.8, 3)
        field += rng.normal() * np.exp(-2 * ((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)).astype(np.float32)
    return field * np.float32(height / np.ptp(field))


def noisy(field, sigma, seed):
    rng = np.random.default_rng(seed)
    signal = np.exp(1j * field) + sigma * (rng.normal(size=field.shape) + 1j * rng.normal(size=field.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


def parts():
    mask = np.zeros(SHAPE, bool)
    mask[1:12, 2:28, 3:20], mask[20:36, 5:29, 1:25] = True, True
    return mask


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.floats(1, 25), st.floats(0, 0.08))
def test_every_part_is_right_up_to_one_number_of_turns(seed, height, sigma):
    truth, mask = smooth_field(seed, height), parts()
    magnitude, phase = noisy(truth, sigma, seed)
    unwrapped = romeo(phase, mask, magnitude=magnitude)
    assert not unwrapped[~mask].any()
    for part in (slice(0, 15), slice(15, None)):
        inside = mask[part]
        turns = np.rint((unwrapped - truth)[part][inside] / TURN)
        assert np.ptp(turns) == 0
        assert abs(np.median(unwrapped[part][inside])) < np.pi + 0.5
    np.testing.assert_allclose(wrap(unwrapped - phase)[mask], 0, atol=1e-4)


def test_a_wall_of_noise_is_walked_around():
    truth = smooth_field(3, 20)
    magnitude, phase = noisy(truth, 0.03, 0)
    rng = np.random.default_rng(1)
    phase[18:20, 4:, :] = rng.uniform(-np.pi, np.pi, phase[18:20, 4:, :].shape)
    magnitude[18:20, 4:, :] *= 0.05
    turns = np.rint((romeo(phase, magnitude=magnitude) - truth) / TURN)
    turns[18:20, 4:, :] = turns[0, 0, 0]
    assert np.ptp(turns) == 0


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.floats(1, 8), st.integers(1, 3))
def test_echoes_agree_in_time_everywhere(seed, height, template):
    field = smooth_field(seed, height) / np.float32(TIMES[-1])  # rad/s
    phases = np.stack([noisy(field * np.float32(t), 0.02, seed + n)[1] for n, t in enumerate(TIMES)])
    unwrapped = romeo(phases, parts(), echo_times=TIMES, params=RomeoParams(template_echo=template))
    rate = [echo[parts()] / np.float32(t) for echo, t in zip(unwrapped, TIMES, strict=True)]
    truth = field[parts()]
    for of_echo, time in zip(rate, TIMES, strict=True):
        assert np.abs(of_echo - truth).max() < np.pi / time


def test_quality_and_phase_of_one_pass_are_those_of_two():
    field = smooth_field(5, 15) / np.float32(TIMES[-1])
    echoes = [noisy(field * np.float32(t), 0.05, n) for n, t in enumerate(TIMES)]
    magnitude, phase = (np.stack([echo[part] for echo in echoes]) for part in (0, 1))
    both = romeo_and_quality(phase, lambda quality: parts(), magnitude=magnitude, echo_times=TIMES)
    np.testing.assert_array_equal(both[1], romeo_quality(phase, magnitude=magnitude, echo_times=TIMES))
    assert not both[0][:, ~parts()].any()
    np.testing.assert_allclose(wrap(both[0] - phase)[:, parts()], 0, atol=1e-4)


def test_inputs_stay_and_what_is_not_finite_is_left_out():
    phase = smooth_field(0, 2)
    phase[3, 4, 5] = np.nan
    before = phase.copy()
    unwrapped = romeo(phase)
    np.testing.assert_array_equal(phase, before)
    assert unwrapped[3, 4, 5] == 0
    assert np.isfinite(unwrapped).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (1, 5, 4), (6, 2, 2)])
def test_thin_volumes(shape):
    truth = np.linspace(0, 9, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    unwrapped = romeo(wrap(truth))
    np.testing.assert_allclose(wrap(unwrapped - truth), 0, atol=1e-4)


def test_an_empty_mask_gives_zeros_and_a_box_of_one_voxel():
    nothing = np.zeros(SHAPE, bool)
    assert not romeo(smooth_field(0, 5), nothing).any()
    assert bounding_box(nothing) == (slice(0, 1),) * 3


@pytest.mark.parametrize("what", ["mask", "magnitude", "times", "dimensions"])
def test_what_does_not_match_is_told(what):
    phase = np.zeros((2, *SHAPE), np.float32)
    arguments = {"mask": np.ones(SHAPE, bool), "magnitude": np.ones_like(phase), "echo_times": (0.01, 0.02)}
    if what == "dimensions":
        with pytest.raises(ValueError, match="shape"):
            romeo(phase[0, 0])
        return
    wrong = {"mask": ("mask", np.ones((2, 2, 2), bool)), "magnitude": ("magnitude", phase[:, :2])}
    key, value = wrong.get(what, ("echo_times", (0.01,)))
    with pytest.raises(ValueError, match=r"shape|echo times"):
        romeo(phase, **(arguments | {key: value}))
