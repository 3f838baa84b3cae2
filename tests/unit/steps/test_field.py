"""What the field step mends, tells and chooses."""

from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.model.records import Echo
from bids_app.model.settings import build_settings
from bids_app.qsm.grid import Grid
from bids_app.qsm.phase.checks import undo_alternation
from bids_app.qsm.phase.scaling import wrap
from bids_app.steps.participant import field as step

SHAPE = (30, 28, 24)
TIMES = (0.004, 0.009, 0.014)


def echoes(ramp=0.0):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    own = ramp * np.arange(SHAPE[0]).reshape(-1, 1, 1)
    rng = np.random.default_rng(0)
    clean = [mask * np.exp(1j * (2 * np.pi * 30 * y * t + x + own * (n % 2))) for n, t in enumerate(TIMES)]
    signal = np.stack(clean) + 0.02 * (rng.normal(size=(3, *SHAPE)) + 1j * rng.normal(size=(3, *SHAPE)))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), mask


def record(**metadata):
    found = tuple(Echo(n + 1, t, metadata=metadata) for n, t in enumerate(TIMES))
    return SimpleNamespace(echoes=found, echo_times=TIMES)


def test_alternating_slices_are_mended_and_told():
    magnitude, phase, _ = echoes()
    mended, warnings = step._mend(record(), "auto", undo_alternation(phase), magnitude, ["note"])
    assert any("alternated" in text for text in warnings)
    np.testing.assert_allclose(wrap(mended - phase), 0, atol=1e-5)


def test_ordinary_phase_stays_without_a_word():
    magnitude, phase, _ = echoes()
    mended, warnings = step._mend(record(), "auto", phase.copy(), magnitude, ["note"])
    assert warnings == []
    np.testing.assert_array_equal(mended, phase)


def test_a_phase_that_covers_part_of_the_circle_is_told():
    magnitude, phase, _ = echoes()
    _, warnings = step._mend(record(), "auto", phase * np.float32(0.5), magnitude, ["phase is declared in radians"])
    assert "50% of the circle" in warnings[0]
    assert "declared in radians" in warnings[0]


@pytest.mark.parametrize(
    ("maker", "sign", "turned"),
    [
        ("GE MEDICAL SYSTEMS", "auto", True),
        ("Siemens", "auto", False),
        ("Siemens", "invert", True),
        ("GE", "keep", False),
    ],
)
def test_sign_of_the_phase(maker, sign, turned):
    magnitude, phase, _ = echoes()
    notes = ["scaled"]
    mended, _ = step._mend(record(Manufacturer=maker), sign, phase.copy(), magnitude, notes)
    np.testing.assert_array_equal(mended, -phase if turned else phase)
    assert len(notes) == 1 + turned


@pytest.mark.parametrize(
    ("ramp", "choice", "metadata", "first"),
    [
        (0.0, "auto", {}, "mcpc3ds"),
        (0.15, "auto", {}, "bipolar"),
        (0.0, "auto", {"ReadoutMode": "Bipolar"}, "bipolar"),
        (0.15, "auto", {"ReadoutMode": "Monopolar"}, "mcpc3ds"),
        (0.15, "mcpc3ds", {}, "mcpc3ds"),
        (0.0, "bipolar", {}, "bipolar"),
    ],
)
def test_readout_polarity_decides(ramp, choice, metadata, first):
    magnitude, phase, mask = echoes(ramp)
    settings = build_settings({"field": {"offsets": choice}})
    seen = SimpleNamespace(settings=settings, record=record(**metadata))
    corrected, methods = step._remove_offsets(seen, phase, magnitude, mask, Grid(SHAPE))
    assert methods[0] == first
    assert corrected.shape == phase.shape


def test_no_offset_removal_when_it_is_not_wanted():
    magnitude, phase, mask = echoes()
    seen = SimpleNamespace(settings=build_settings({"field": {"offsets": "none"}}), record=record())
    corrected, methods = step._remove_offsets(seen, phase, magnitude, mask, Grid(SHAPE))
    assert methods == []
    assert corrected is phase
