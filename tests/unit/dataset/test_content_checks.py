"""What images hold, against what their names and sidecars say."""

import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.query import find_subjects

SHAPE = (20, 18, 9)


def problems(dataset):
    return preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")


def arrays(echo):
    """Return magnitude and wrapped phase (rad) of an object in noise."""
    rng = np.random.default_rng(echo)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    signal = (x**2 + y**2 + z**2 < 0.7) * np.exp(1j * echo * (6 * x * y + 3 * z))
    signal = signal + 0.02 * (rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE))
    return np.abs(signal), np.angle(signal)


def magnitude_of(echo):
    return np.rint(1000 * arrays(echo)[0]).astype(np.int16)


def signed(echo):
    return np.rint(arrays(echo)[1] / np.pi * 4095).astype(np.int16)


def unsigned(echo):
    return np.rint((arrays(echo)[1] / np.pi + 1) / 2 * 4095).astype(np.int16)


def radians(echo):
    return arrays(echo)[1].astype(np.float32)


def write(dataset, magnitudes, phases, **sidecar):
    for echo, parts in enumerate(zip(magnitudes, phases, strict=True), start=1):
        for part, data in zip(("mag", "phase"), parts, strict=True):
            extra = sidecar if part == "phase" else {}
            dataset.image(f"sub-01_echo-{echo}_part-{part}_MEGRE", data, EchoTime=0.005 * echo, **extra)


@pytest.mark.parametrize("phase", [signed, unsigned, radians])
def test_images_that_are_what_they_say(dataset, phase):
    write(dataset, map(magnitude_of, (1, 2, 3)), map(phase, (1, 2, 3)))
    assert problems(dataset) == []


def test_unwrapped_phase_has_no_scale_of_its_own(dataset):
    """Radians that grow with the echo time go over different ranges, and are right."""
    x = np.linspace(0, 1, SHAPE[0])[:, None, None] * np.ones(SHAPE)
    phases = [(4 * echo * x).astype(np.float32) for echo in (1, 2, 4)]
    write(dataset, map(magnitude_of, (1, 2, 3)), phases, Units="rad")
    assert problems(dataset) == []


def test_an_empty_magnitude_of_one_echo(dataset):
    write(dataset, [magnitude_of(1), 0 * magnitude_of(2)], map(signed, (1, 2)))
    (problem,) = problems(dataset)
    assert problem.startswith("sub-01_echo-2_part-mag_MEGRE.nii.gz: the magnitude has one constant value")


def test_a_magnitude_whose_middle_is_empty_is_looked_at_as_a_whole(dataset):
    part = magnitude_of(2)
    part[:, :, 2:] = 0
    write(dataset, [magnitude_of(1), part], map(signed, (1, 2)))
    assert problems(dataset) == []


@pytest.mark.parametrize(("phase", "says"), [(signed, "values below 0"), (unsigned, "jump as wrapped phase does")])
def test_magnitude_and_phase_under_each_others_names(dataset, phase, says):
    write(dataset, map(phase, (2, 3)), map(magnitude_of, (2, 3)))
    listed = problems(dataset)
    assert len(listed) == 2 and all(says in problem and "may be exchanged" in problem for problem in listed), listed


@pytest.mark.parametrize(
    ("first", "second"), [(radians, signed), (signed, unsigned), (radians, lambda echo: np.rint(1000 * radians(echo)))]
)
def test_echoes_in_different_scales(dataset, first, second):
    write(dataset, map(magnitude_of, (1, 2)), [first(1), second(2).astype(first(1).dtype)])
    (problem,) = problems(dataset)
    assert "different scales" in problem and "echo-1" in problem and "echo-2" in problem


def test_declared_units_that_the_values_contradict(dataset):
    write(dataset, map(magnitude_of, (1, 2)), map(signed, (1, 2)), Units="rad")
    listed = problems(dataset)
    assert len(listed) == 2 and all('"Units" is "rad"' in problem and "integers from" in problem for problem in listed)


def test_echoes_with_different_units(dataset):
    write(dataset, map(magnitude_of, (1, 2)), map(radians, (1, 2)), Units="rad")
    dataset.image("sub-01_echo-2_part-phase_MEGRE", radians(2), EchoTime=0.01, Units="arbitrary")
    (problem,) = problems(dataset)
    assert "different Units (arbitrary, rad)" in problem


def test_copies_under_a_second_name(dataset):
    write(dataset, map(magnitude_of, (1, 2)), [signed(1), signed(1)])
    (problem,) = problems(dataset)
    assert "echo-1_part-phase" in problem and "echo-2_part-phase" in problem and "hold the same values" in problem


@pytest.mark.parametrize("part", [np.cos, np.sin])
def test_real_or_imaginary_parts_called_phase(dataset, part):
    parts = [np.rint(1000 * arrays(k)[0] * part(arrays(k)[1])).astype(np.int16) for k in (1, 2)]
    write(dataset, map(magnitude_of, (1, 2)), parts)
    sentences = problems(dataset)
    assert len(sentences) == 2 and all("real or imaginary part" in sentence for sentence in sentences)


@pytest.mark.parametrize("shape", [(20, 1, 1), (2, 2, 20)])
def test_a_column_of_voxels_is_no_image(dataset, shape):
    dataset.image(
        "sub-01_echo-1_part-phase_MEGRE", np.arange(np.prod(shape)).reshape(shape).astype(np.int16), EchoTime=0.01
    )
    (problem,) = problems(dataset)
    assert "at least 3 slices" in problem and " x ".join(map(str, shape)) in problem
