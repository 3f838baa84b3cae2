"""Which image the atlas goes to where there is no T1-weighted one."""

from types import SimpleNamespace

import numpy as np
import pytest

from bids_app.derivatives.files import read_image, write_image
from bids_app.model.records import Echo
from bids_app.model.settings import build_settings
from bids_app.model.step import StepInput
from bids_app.steps.participant import anatomy, registration
from bids_app.steps.participant.registration import ATLAS_TO_GRE, without_decay

SHAPE, TIMES = (24, 26, 22), (0.005, 0.012, 0.02)


@pytest.fixture
def ball():
    """A ball of signal 100 whose half decays at 20 /s and half at 80 /s, and a spot whose signal is soon gone."""
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 80
    rate = np.where(x < 0, 20.0, 80.0)
    rate[12, 13, 11] = 900.0
    return mask, rate


@pytest.fixture
def step_of(ball, tmp_path):
    def of(parts, echoes=3, coils=1):
        mask, rate = ball
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(2, 3, *SHAPE))
        signal = np.hypot(100 * mask * np.exp(-np.array(TIMES)[:, None, None, None] * rate) + noise[0], noise[1])
        signal = signal[:echoes].astype(np.float32)
        maps = {
            "magnitude": np.sqrt((signal**2).sum(axis=0)),
            "quality": np.where(mask, 0.9, 0.05),
            "field_sd": np.where(mask, 0.5, 0.0),
            "residual": np.where(mask, 0.02, 0.0),
        }
        images, inputs = [], {key: tmp_path / f"{key}.nii.gz" for key in maps}
        for key, data in maps.items():
            write_image(inputs[key], data.astype(np.float32), np.eye(4), "float32")
        for number, echo in enumerate(signal, start=1):
            paths = {}
            for part in parts:
                data = echo if part == "magnitude" else echo * (0.6 if part == "real" else 0.8)
                paths[part] = tmp_path / f"{part}{number}.nii.gz"
                write_image(paths[part], data.astype(np.float32), np.eye(4), "float32")
            images.append(Echo(number, TIMES[number - 1], metadata={}, **paths))
        if coils > 1:
            inputs["coil_magnitude"] = tmp_path / "coils.npy"
            np.save(inputs["coil_magnitude"], signal)
        run = SimpleNamespace(
            echoes=tuple(images),
            echo_times=TIMES[:echoes],
            field_strength=3.0,
            b0_dir=None,
            coils=coils,
            t1w=None,
            given_maps=(),
        )
        return StepInput(run, build_settings({}), inputs, tmp_path, 1)

    return of


@pytest.mark.parametrize(("parts", "coils"), [(("magnitude",), 1), (("real", "imag"), 1), (("phase",), 4)])
def test_the_decay_of_the_echoes_is_taken_off(step_of, ball, parts, coils):
    mask, rate = ball
    step = step_of(parts, coils=coils)
    if parts == ("phase",):  # coils' magnitudes are combined by a step before
        step.record.echoes = tuple(
            Echo(e.number, e.echo_time, e.phase, e.phase, metadata={}) for e in step.record.echoes
        )
    values, affine = read_image(without_decay(step))
    np.testing.assert_array_equal(affine, np.eye(4))
    slow, fast = (mask & (rate == r) for r in (20.0, 80.0))
    assert abs(np.median(values[slow]) / np.median(values[fast]) - 1) < 0.02
    together = read_image(step.inputs["magnitude"])[0]
    assert np.median(together[slow]) / np.median(together[fast]) > 1.2
    assert 100 < values.max() < 120  # nothing is extrapolated without bound
    assert not values[~mask].any()
    assert (values[mask] > 0).mean() > 0.95


def test_values_that_are_not_finite_do_not_spread(step_of, ball):
    step = step_of(("magnitude",))
    path = step.record.echoes[1].magnitude
    data, affine = read_image(path)
    data[10:14, 10:14, 10:14] = np.nan
    write_image(path, data, affine, "float32")
    assert np.isfinite(read_image(without_decay(step))[0]).all()


@pytest.mark.parametrize(
    ("parts", "echoes", "expected"),
    [
        (("magnitude",), 3, ["magnitude of all echoes", "magnitude at echo time 0"]),
        (("magnitude",), 1, ["magnitude of all echoes"]),
        (("phase",), 3, ["magnitude of all echoes"]),
    ],
)
def test_the_atlas_goes_to_all_images_of_the_head(step_of, tmp_path, monkeypatch, parts, echoes, expected):
    """ANTs itself runs in the integration tests."""
    step = step_of(parts, echoes=echoes)
    step.inputs["template@test"] = tmp_path / "template.nii.gz"
    called = []

    def deform(template, target, step, names, others):
        called.append([template.name, target.name, *[path.name for path in others]])
        return tmp_path / "warp.nii.gz", {}, []

    monkeypatch.setattr(registration, "corrected", lambda path, work, threads, name: work / f"{name}.nii.gz")
    monkeypatch.setattr(registration, "deform_atlas", deform)
    result = registration.atlas_to_gre(step)
    assert result.outputs["xfm_atlas_to_gre@test"].sidecar["RegisteredTo"] == expected
    images = ["gre.nii.gz", "undecayed.nii.gz"][: len(expected)]
    assert called == [["template.nii.gz", *images]]
    assert result.metrics["atlas"] == "test"
    assert ("atlas_to_all" in result.methods) == (len(expected) == 2)


def test_the_step_is_done_again_when_an_echo_changes(step_of, tmp_path):
    step = step_of(("magnitude",))
    assert {"magnitude1", "magnitude2", "magnitude3"} <= set(ATLAS_TO_GRE.sources(step.record, step.settings))
    assert ATLAS_TO_GRE.needs(step.record, step.settings) == ("magnitude", "quality", "field_sd", "residual")
    coils = step_of(("magnitude",), coils=4)
    assert "magnitude1" not in ATLAS_TO_GRE.sources(coils.record, coils.settings)
    assert "coil_magnitude" in ATLAS_TO_GRE.needs(coils.record, coils.settings)


def test_the_affine_and_the_judgement_go_to_the_whole_head(tmp_path, monkeypatch):
    """The other image holds the brain alone, whose overlap with the template's head is small."""
    asked = {}
    monkeypatch.setattr(anatomy, "write_ras", lambda source, target: None)
    monkeypatch.setattr(anatomy.ants, "linear", lambda fixed, *rest: asked.update(linear=fixed.name))
    monkeypatch.setattr(
        anatomy.ants,
        "syn",
        lambda fixed, *rest, extra, region: asked.update(syn=[fixed.name, *(pair[0].name for pair in extra)]),
    )
    monkeypatch.setattr(anatomy, "judged", lambda fixed, *rest: (asked.update(judged=fixed.name), []))
    step = StepInput(SimpleNamespace(), build_settings({}), {}, tmp_path, 1)
    head, brain = tmp_path / "head.nii.gz", tmp_path / "brain.nii.gz"
    anatomy.deform_atlas(tmp_path / "template.nii.gz", head, step, ("a", "b"), [brain])
    assert asked == {"linear": "head.nii.gz", "syn": ["brain.nii.gz", "head.nii.gz"], "judged": "head.nii.gz"}
