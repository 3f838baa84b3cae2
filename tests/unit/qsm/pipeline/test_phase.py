"""What is corrected in the phase, reported and chosen."""

import numpy as np
import pytest

from bids_app import qsm
from bids_app.qsm.phase.checks import undo_alternation
from bids_app.qsm.phase.scaling import wrap

SHAPE = (30, 28, 24)
TIMES = (0.004, 0.009, 0.014)


def echoes(ramp=0.0):
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 0.8
    even = ramp * np.arange(SHAPE[0]).reshape(-1, 1, 1)
    rng = np.random.default_rng(0)
    clean = [mask * np.exp(1j * (2 * np.pi * 30 * y * t + x + even * (n % 2))) for n, t in enumerate(TIMES)]
    signal = np.stack(clean) + 0.02 * (rng.normal(size=(3, *SHAPE)) + 1j * rng.normal(size=(3, *SHAPE)))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), mask


def corrected(phase, magnitude, sign="auto", overwrite=False, **known):
    options, scan = qsm.FieldChoices(offsets="none", sign=sign), qsm.Acquisition(**known)
    return qsm.correct_phase(
        phase, magnitude, TIMES, qsm.Grid(SHAPE), acquisition=scan, options=options, overwrite=overwrite
    )


def test_alternating_slices_are_corrected_and_reported():
    magnitude, phase, _ = echoes()
    result = corrected(undo_alternation(phase), magnitude)
    assert any("alternated" in text for text in result.warnings)
    np.testing.assert_allclose(wrap(result.phase - phase), 0, atol=1e-5)


def test_ordinary_phase_stays_without_a_word():
    magnitude, phase, _ = echoes()
    result = corrected(phase, magnitude)
    assert result.warnings == () and result.methods == ()
    np.testing.assert_array_equal(result.phase, phase)


def test_a_phase_that_covers_part_of_the_circle_is_reported():
    magnitude, phase, _ = echoes()
    result = corrected(phase * np.float32(0.5), magnitude, phase_scaling="phase is declared in radians")
    assert "50% of the circle" in result.warnings[0]
    assert "declared in radians" in result.warnings[0]


def test_the_phase_given_is_changed_only_where_it_may_be():
    magnitude, phase, _ = echoes()
    before = phase.copy()
    result = corrected(phase, magnitude, "invert")
    np.testing.assert_array_equal(phase, before)
    again = corrected(phase, magnitude, "invert", overwrite=True)
    assert again.phase is phase
    np.testing.assert_array_equal(again.phase, result.phase)


def test_images_without_signal_are_refused():
    magnitude, phase, _ = echoes()
    noise = np.random.default_rng(1).uniform(-np.pi, np.pi, phase.shape).astype(np.float32)
    with pytest.raises(qsm.NoSignalError, match="no voxel has signal"):
        corrected(noise, np.zeros_like(magnitude))


def test_shapes_that_do_not_agree_are_refused():
    magnitude, phase, _ = echoes()
    with pytest.raises(ValueError, match=r"phase has shape .* for 3 echo times .* \(echoes first\)"):
        corrected(phase[:2], magnitude)


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
    result = corrected(phase, magnitude, sign, manufacturer=maker)
    np.testing.assert_array_equal(result.phase, -phase if turned else phase)
    assert len(result.notes) == 1 + turned


def test_echoes_left_out_decide_by_their_numbers():
    magnitude, phase, _ = echoes(0.15)

    def result_of(numbers, offsets="auto"):
        scan, options = qsm.Acquisition(echo_numbers=numbers), qsm.FieldChoices(offsets=offsets)
        return qsm.correct_phase(phase, magnitude, TIMES, qsm.Grid(SHAPE), acquisition=scan, options=options)

    assert result_of((1, 4, 7)).methods[0] == "bipolar"
    assert result_of((1, 3, 5)).methods == ("mcpc3ds",)
    with pytest.raises(ValueError, match="2 echo numbers for 3 echoes"):
        result_of((1, 3))
    result = result_of((1, 3, 5), "bipolar")
    assert result.methods == ("mcpc3ds",) and "all echoes were read in one direction" in result.warnings[-1]


@pytest.mark.parametrize(
    ("ramp", "choice", "readout", "first"),
    [
        (0.0, "auto", "", "mcpc3ds"),
        (0.15, "auto", "", "bipolar"),
        (0.0, "auto", "bipolar", "bipolar"),
        (0.15, "auto", "monopolar", "mcpc3ds"),
        (0.15, "mcpc3ds", "", "mcpc3ds"),
        (0.0, "bipolar", "", "bipolar"),
    ],
)
def test_readout_polarity_decides(ramp, choice, readout, first):
    magnitude, phase, _ = echoes(ramp)
    options, scan = qsm.FieldChoices(offsets=choice), qsm.Acquisition(readout=readout)
    result = qsm.correct_phase(phase, magnitude, TIMES, qsm.Grid(SHAPE), acquisition=scan, options=options)
    assert result.methods[0] == first
    assert result.phase.shape == phase.shape
