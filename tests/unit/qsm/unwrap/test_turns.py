"""Whole turns between echoes: chosen by what has signal, whatever the air holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app import qsm
from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.support import signal_support
from bids_app.qsm.phase.mcpc3ds import mcpc3ds
from bids_app.qsm.unwrap.romeo import romeo, romeo_quality

N = 36
GRID = Grid((N, N, N), (3.0, 3.0, 3.0))
AIRS = ("noise", "zero", "half of it zero", "ghost", "lowest code")


def scan(air, times, hertz, radius, seed):
    """Return magnitude and phase of a ball with a field around ``hertz`` and a phase offset, its field and the ball."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, N)] * 3, indexing="ij")
    ball = (x * x + y * y + z * z) * (N / 2) ** 2 < radius**2
    field = hertz + 15 * x + 8 * z * z
    rates = [np.exp(-20 * t + 1j * (2 * np.pi * field * t + 1.5 + 0.8 * y)) * ball for t in times]
    signal = (
        np.stack(rates) + (rng.normal(size=(len(times), N, N, N)) + 1j * rng.normal(size=(len(times), N, N, N))) / 50
    )
    kept = {"zero": ball, "half of it zero": ball | (x > 0), "lowest code": ball | (x > 0)}.get(air, np.ones_like(ball))
    if air == "ghost":
        signal += np.where(ball, 0, 0.04) * np.exp(1j)
    magnitude, phase = np.abs(signal) * kept, np.angle(signal)
    phase = np.where(kept, phase, -np.pi if air == "lowest code" else 0)
    return magnitude.astype(np.float32), phase.astype(np.float32), field, ball


def fitted(magnitude, phase, times):
    """Return the fit of the field as the step makes it."""
    rough = romeo_quality(phase, None, magnitude=magnitude, echo_times=times)
    support = signal_support(rough, True, True)
    phase = mcpc3ds(phase, magnitude, times, support, GRID).phase
    unwrapped = romeo(phase, support, magnitude=magnitude, echo_times=times)
    return fit_linear(unwrapped, magnitude, times, support, grid=GRID)


@pytest.mark.parametrize("air", AIRS)
@pytest.mark.parametrize("radius", [15, 6])
def test_a_third_of_object_and_an_echo_time_ratio_far_from_whole(air, radius):
    magnitude, phase, field, ball = scan(air, (0.007, 0.010), 70.0, radius, 0)
    fit = fitted(magnitude, phase, (0.007, 0.010))
    assert abs(np.median((fit.field_hz - field)[ball])) < 3
    assert np.median(fit.residual_rad[ball]) < 0.05


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from(AIRS),
    st.floats(0.002, 0.012),
    st.floats(0.0022, 0.009),
    st.floats(-0.4, 0.4),
    st.sampled_from([6, 15]),
    st.integers(0, 100),
)
def test_any_echo_times_and_air(air, first, interval, turns, radius, seed):
    times = (first, first + interval)
    # The field is such that the phase changes by less than half a turn between the echoes: more cannot be known.
    hertz = (abs(turns) * 1 / interval - 20) * np.sign(turns) if abs(turns) / interval > 40 else 0.0
    magnitude, phase, field, ball = scan(air, times, hertz, radius, seed)
    fit = fitted(magnitude, phase, times)
    assert abs(np.median((fit.field_hz - field)[ball])) < 6
    assert np.median(fit.residual_rad[ball]) < 0.1


@pytest.mark.parametrize("air", ["zero", "lowest code"])
def test_air_of_constant_phase_does_not_vote_without_a_magnitude_either(air):
    _, phase, field, ball = scan(air, (0.007, 0.010), 70.0, 15, 0)
    fit = qsm.total_field(phase, None, (0.007, 0.010), GRID)
    assert abs(np.median((fit.total - field)[ball])) < 3


@pytest.mark.parametrize("wrong", ["echo time", "offset", "nothing"])
def test_a_residual_that_is_high_everywhere_is_reported_with_its_echo(wrong):
    times = (0.005, 0.009, 0.0135)
    magnitude, phase, _, _ = scan("noise", times, 60.0, 15, 0)
    if wrong == "offset":
        phase[2] += 1.5
    said = (*times[:2], 0.0105) if wrong == "echo time" else times
    fit = qsm.total_field(phase, magnitude, said, GRID)
    if wrong == "nothing":
        assert fit.warnings == ()
    else:
        (text,) = fit.warnings
        assert "lies on no line" in text
        assert "echo 3" in text or "echo 2" in text
