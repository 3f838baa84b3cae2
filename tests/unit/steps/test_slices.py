"""Runs of a few slices, or of slices with wide gaps: what is computed from each slice alone."""

from dataclasses import replace

import numpy as np
import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.subjects import selected_subjects
from bids_app.derivatives.files import read_image
from bids_app.engine.chain import Chain
from bids_app.model.context import Context
from bids_app.model.settings import build_settings
from bids_app.model.step import plan
from bids_app.steps import PARTICIPANT
from tests.unit.dataset.conftest import Dataset

SHAPE = (64, 60, 2)
ECHO_TIMES = (0.005, 0.012, 0.019)
RATE, SLOPE = 25.0, 40.0  # 1/s, Hz
SIDECAR = {"MagneticFieldStrength": 3, "Units": "rad"}


def axes(shape):
    return np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")


def inside(shape):
    x, y, _ = axes(shape)
    return x**2 + y**2 < 0.6


def study(root, thin=2, shape=SHAPE, **sidecar):
    """Write echoes of a cylinder whose field rises along the first axis; ``thin`` is the axis of the slices."""
    data, rng = Dataset(root), np.random.default_rng(1)
    x, y, _ = axes(shape)
    offsets = rng.uniform(-np.pi, np.pi, shape[2])  # slices of a 2D acquisition have phases of their own
    for number, time in enumerate(ECHO_TIMES, start=1):
        signal = inside(shape) * np.exp(-RATE * time + 2j * np.pi * SLOPE * (x + 0.3 * x * y) * time + 1j * offsets)
        signal = signal + 0.004 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))
        for part, values in (("mag", 1000 * np.abs(signal)), ("phase", np.angle(signal))):
            turned = np.moveaxis(values, 2, thin).astype(np.float32)
            values = SIDECAR | sidecar | {"EchoTime": time}
            data.image(f"sub-01_echo-{number}_part-{part}_MEGRE", turned, **values)
    ((run,),) = (subject.runs for subject in selected_subjects(root, (), (), {}, False))
    return run


@pytest.mark.parametrize(("thin", "shape"), [(2, SHAPE), (0, (*SHAPE[:2], 1))])
def test_field_and_r2star_of_every_slice(thin, shape, tmp_path):
    run = study(tmp_path / "bids", thin, shape)
    assert run.slice_axis == thin
    assert preflight(selected_subjects(tmp_path / "bids", (), (), {}, False), tmp_path / "bids", tmp_path / "out") == []
    chain = Chain(PARTICIPANT, run, build_settings({}), Context(tmp_path, tmp_path / "out", tmp_path / "work", 1))
    done = chain.run()
    assert (done.failures, done.ran) == ([], ["slices"])
    maps = {path.name: read_image(path)[0] for path in (tmp_path / "out").rglob("*.nii.gz")}
    maps = {name.removeprefix("sub-01_").removesuffix(".nii.gz"): np.moveaxis(m, thin, 2) for name, m in maps.items()}
    assert {"desc-total_fieldmap", "desc-brain_mask", "R2starmap", "T2starmap", "part-mag_desc-swi_T2starw"} <= set(
        maps
    )
    mask, true = maps["desc-brain_mask"] > 0, inside(shape)
    assert np.count_nonzero(mask & ~true) == 0 and np.count_nonzero(mask) > 0.8 * np.count_nonzero(true)
    x, y, _ = axes(shape)
    error = maps["desc-total_fieldmap"] - SLOPE * (x + 0.3 * x * y)
    for place in range(shape[2]):
        of_slice = error[..., place][mask[..., place]]
        assert np.abs(of_slice - np.median(of_slice)).max() < 1.0
    assert np.median(maps["R2starmap"][mask]) == pytest.approx(RATE, rel=0.03)


@pytest.mark.parametrize(
    ("sidecar", "axis"),
    [
        ({}, None),
        ({"MRAcquisitionType": "2D", "SliceThickness": 2, "SpacingBetweenSlices": 3}, None),
        ({"MRAcquisitionType": "2D", "SliceThickness": 2, "SpacingBetweenSlices": 4}, 2),
        ({"MRAcquisitionType": "3D", "SliceThickness": 2, "SpacingBetweenSlices": 4}, None),
        (
            {"MRAcquisitionType": "2D", "SliceThickness": 2, "SpacingBetweenSlices": 4, "SliceEncodingDirection": "i-"},
            0,
        ),
    ],
)
def test_slices_with_wide_gaps_are_no_volume(sidecar, axis, tmp_path):
    run = study(tmp_path / "bids", shape=(20, 18, 6), **sidecar)
    assert run.slice_axis == axis
    said = [text for text in remarks(run) if "there is no susceptibility map" in text]
    assert len(said) == (axis is not None)


def test_it_replaces_every_step_but_the_combination_of_coils(tmp_path):
    run, settings = study(tmp_path / "bids", shape=(20, 18, 1)), build_settings({})
    planned = plan(PARTICIPANT, run, settings)
    assert [step.name for step in planned.steps] == ["slices"]
    assert {"phase", "field", "mask", "inversion", "swi", "qc"} <= {step.name for step in planned.replaced}
    of_coils = plan(PARTICIPANT, replace(run, coils=4), settings)
    assert [step.name for step in of_coils.steps] == ["coils", "slices"]
    assert of_coils.left_out == planned.left_out == ()
