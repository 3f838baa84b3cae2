"""Images of a run to magnitude and phase: units, unwrapped phase, values that are not finite."""

import json

import nibabel as nib
import numpy as np
import pytest

from bids_app.dataset.query import find_subjects
from bids_app.model.step import StepInput
from bids_app.steps.participant.load import load_echoes

SHAPE = (24, 24, 24)


def true_phase():
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return (25 * np.exp(-(x**2 + y**2) / 0.4) + 3 * z).astype(np.float32)


@pytest.fixture
def load(tmp_path):
    def of(phase, magnitude=None, **sidecar):
        anat = tmp_path / "sub-01/anat"
        anat.mkdir(parents=True)
        (tmp_path / "dataset_description.json").write_text('{"Name": "t", "BIDSVersion": "1.10.0"}')
        images = {"phase": phase} | ({} if magnitude is None else {"mag": magnitude})
        for part, data in images.items():
            nib.save(nib.Nifti1Image(data, np.eye(4)), anat / f"sub-01_part-{part}_MEGRE.nii.gz")
            fields = {"EchoTime": 0.01, "MagneticFieldStrength": 3, **sidecar}
            (anat / f"sub-01_part-{part}_MEGRE.json").write_text(json.dumps(fields))
        (run,) = find_subjects(tmp_path)[0].runs
        return load_echoes(StepInput(run, None, {}, tmp_path, 1))

    return of


def same_turn(phase, expected):
    return np.abs(np.angle(np.exp(1j * (phase - expected)))).max() < 1e-3


@pytest.mark.parametrize("masked", [False, True])
def test_unwrapped_phase_is_recognised_and_told(load, masked):
    phase = true_phase()
    if masked:
        phase[:, :6] = phase[:, -6:] = 0
    _, loaded, notes = load(phase)
    assert same_turn(loaded[0], phase)
    assert "unwrapped already" in notes[1]


def test_unwrapped_phase_with_units_is_not_worth_a_warning(load):
    _, loaded, notes = load(true_phase(), Units="rad")
    assert same_turn(loaded[0], true_phase())
    assert len(notes) == 1


def test_wrapped_phase_of_another_scale_is_not_taken_for_unwrapped(load):
    wrapped = np.angle(np.exp(1j * true_phase())).astype(np.float32)
    _, loaded, notes = load(np.degrees(wrapped))
    assert np.abs(np.angle(np.exp(1j * (loaded[0] - wrapped)))).max() < 0.05
    assert len(notes) == 1


def test_values_that_are_not_finite_are_zeroed_and_told(load):
    phase, magnitude = np.angle(np.exp(1j * true_phase())).astype(np.float32), np.ones(SHAPE, np.float32)
    phase[0, 0, :2] = np.nan
    magnitude[1, 1, :3] = np.inf, -np.inf, np.nan
    strength, loaded, notes = load(phase, magnitude)
    assert np.isfinite(loaded).all() and np.isfinite(strength).all()
    assert loaded[0, 0, 0, 0] == strength[0, 1, 1, 0] == 0
    assert any(note.startswith("2 voxels of the phase") for note in notes[1:])
    assert any(note.startswith("3 voxels of the magnitude") for note in notes[1:])


@pytest.mark.parametrize(("kind", "removed"), [("2D", True), ("3D", False), ("", True)])
def test_offsets_of_slices_are_removed_from_a_single_echo_unless_it_is_3d(load, kind, removed):
    offsets = np.random.default_rng(0).uniform(-np.pi, np.pi, SHAPE[2])
    phase = np.angle(np.exp(1j * (true_phase() / 20 + offsets))).astype(np.float32)
    more = {"MRAcquisitionType": kind} if kind else {}
    _, loaded, notes = load(phase, Units="rad", **more)
    along = np.angle(np.exp(1j * np.diff(np.angle(np.exp(1j * loaded[0].astype(float)).mean(axis=(0, 1))))))
    assert bool(np.abs(along).max() < 0.1) is removed
    assert any("with one echo the mean field of each slice" in note for note in notes) is removed
