"""Every value of a sidecar that decides something has a range; what is outside is refused in one sentence."""

import json

import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.metadata_checks import metadata_remarks
from bids_app.dataset.query import find_subjects
from bids_app.errors import InputRefusedError

#: JSON texts of values that no field means.
ODD = {
    "nan": "NaN",
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "zero": "0",
    "negative": "-1",
    "huge": "1e300",
    "tiny": "1e-300",
    "digits": "9" * 400,
    "empty text": '""',
    "text": '"three"',
    "true": "true",
    "list": "[1, 2]",
    "empty list": "[]",
    "nested": "[[1], [2], [3]]",
    "object": '{"a": 1}',
}
NUMBERS = ("EchoTime", "MagneticFieldStrength", "B0_dir")
TEXTS = (
    "Units",
    "Manufacturer",
    "MRAcquisitionType",
    "ReadoutMode",
    "PhaseEncodingDirection",
    "SliceEncodingDirection",
)
#: Texts are texts, whatever is in them; an axis or a kind of acquisition is not.
FREE_TEXTS = ("Units", "Manufacturer", "ReadoutMode")


@pytest.fixture
def problems_with(dataset, tmp_path):
    """Return what is wrong with a run that has some JSON text as the value of a field."""

    def of(key, text):
        data = np.random.default_rng(0).integers(-4096, 4096, (8, 8, 8)).astype(np.int16)
        for echo in (1, 2):
            for part in ("mag", "phase"):
                name = f"sub-01_echo-{echo}_part-{part}_MEGRE"
                path = dataset.image(name, np.abs(data) if part == "mag" else data)
                fields = {"EchoTime": json.dumps(0.005 * echo), "MagneticFieldStrength": "3", key: text}
                content = ", ".join(f"{json.dumps(name)}: {field}" for name, field in fields.items())
                path.with_name(f"{name}.json").write_text(f"{{{content}}}")
        try:
            subjects = find_subjects(dataset.root)
        except InputRefusedError as error:
            return list(error.problems), None
        return preflight(subjects, dataset.root, tmp_path / "out"), subjects[0].runs[0]

    return of


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("kind", ODD)
def test_numbers_have_a_range(problems_with, key, kind):
    problems, _ = problems_with(key, ODD[kind])
    assert problems and all("\n" not in problem for problem in problems)
    assert any(key in problem or "JSON" in problem for problem in problems), problems
    assert not any(word in problem for problem in problems for word in ("Error", "Traceback", "object at 0x"))


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize("kind", ODD)
def test_texts_are_texts(problems_with, key, kind):
    problems, run = problems_with(key, ODD[kind])
    if ODD[kind].startswith('"') and (key in FREE_TEXTS):
        assert problems == []
        if key == "Units":
            assert any("which BIDS does not know" in text for text in remarks(run))
    else:
        assert any(key in problem or "JSON" in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("EchoTime", ["0.005"]),
        ("MagneticFieldStrength", ["0.05", "3", "3.0", "25"]),
        ("B0_dir", ["[0, 0, 1]", "[0.1, -0.2, 0.9]"]),
        ("Units", ['"arbitrary"']),
        ("MRAcquisitionType", ['"2D"', '"3D"', '"3d"']),
        ("PhaseEncodingDirection", ['"i"', '"j-"']),
        ("SliceEncodingDirection", ['"k-"']),
        ("Manufacturer", ['"GE"']),
    ],
)
def test_good_values_pass(problems_with, key, values):
    for value in values:
        problems, run = problems_with(key, value)
        assert [p for p in problems if "same EchoTime" not in p] == []
        assert not any("BIDS does not know" in text for text in remarks(run))


@pytest.mark.parametrize("text", ["NaN", "-1", '"a"', "[0.01]", "null"])
def test_echo_times_of_spin_echoes_have_a_range(dataset, tmp_path, text):
    dataset.megre("sub-01")
    for echo in (1, 2):
        path = dataset.image(f"sub-01_echo-{echo}_MESE")
        path.with_name(f"sub-01_echo-{echo}_MESE.json").write_text(f'{{"EchoTime": {text}}}')
    problems = preflight(find_subjects(dataset.root), dataset.root, tmp_path / "out")
    assert any("MESE.nii.gz" in problem and "EchoTime" in problem for problem in problems)


@pytest.mark.parametrize(
    ("kind", "spacing", "said"), [("2D", 2.5, True), ("2D", 2.0, False), ("3D", 2.5, False), ("2D", "x", False)]
)
def test_gaps_between_the_slices_of_a_2d_acquisition_are_reported(dataset, kind, spacing, said):
    dataset.megre(
        "sub-01", MRAcquisitionType=kind, SliceThickness=2.0, SpacingBetweenSlices=spacing, MagneticFieldStrength=3
    )
    (run,) = find_subjects(dataset.root)[0].runs
    assert any("slices of 2 mm have a spacing of 2.5 mm" in text for text in metadata_remarks(run)) is said
