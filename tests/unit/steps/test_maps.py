"""The steps from the total field to the map: what they make of a field, and what they record."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from bids_app.derivatives.files import read_image, write_image
from bids_app.model.records import Echo
from bids_app.model.settings import build_settings, merge
from bids_app.model.step import StepInput
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.null_space_trend import appearance, null_space_trend
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import ppm_to_hz
from bids_app.steps.participant.background import BACKGROUND
from bids_app.steps.participant.inversion import INVERSION
from bids_app.steps.participant.null_space_trend import NULL_SPACE_TREND
from tests.helpers.devices import strict

SHAPE = (28, 26, 24)
#: Without what comes on top of background removal and inversion.
PLAIN = {"background": {"boundary_sources": "keep", "null_space_trend": "keep"}}
#: A run for which no other dataset has anything.
NOTHING_GIVEN = {"given": lambda product: None, "given_maps": (), "starts_from_phase": True}
STEPS = (BACKGROUND, INVERSION, NULL_SPACE_TREND)


#: Without what comes on top of background removal and inversion.
PLAIN = {"background": {"boundary_sources": "keep", "null_space_trend": "keep"}}


def settings_of(tree):
    return build_settings(merge(PLAIN, tree))


def stages(run, sections, inputs, folder):
    """Run the steps one after the other as the engine does, and return all that they gave."""
    two_pass = {"mask": {"two_pass": "mask_reliable" in inputs}}
    settings, files = settings_of(sections | two_pass), dict(inputs)
    outputs, metrics, warnings, methods = {}, {}, (), ()
    for step in STEPS:
        keys = step.makes(run, settings)
        if not keys:
            continue
        seen = {key: files[key] for key in (*step.needs(run, settings), *step.sources(run, settings))}
        done = step.function(StepInput(run, settings, seen, folder, 1))
        assert set(done.outputs) == set(keys)
        for key, output in done.outputs.items():
            files[key] = folder / f"{step.name}_{key}.npy"
            np.save(files[key], output.data)
        outputs, metrics = outputs | done.outputs, metrics | done.metrics
        warnings, methods = warnings + done.warnings, methods + done.methods
    return SimpleNamespace(outputs=outputs, metrics=metrics, warnings=warnings, methods=methods)


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    """Take the small objects of these tests as they are, and not as animals that are enlarged to a head."""
    monkeypatch.setattr("bids_app.steps.participant.common.SMALLEST_HEAD", 0.0)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Files of a ball with a smaller one inside, and the run they belong to."""
    folder = tmp_path_factory.mktemp("maps")
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = (x**2 + y**2 + z**2 < 100).astype(np.float32)
    chi = (0.1 * (x**2 + (y - 3) ** 2 + z**2 < 12)).astype(np.float32)
    field = ppm_to_hz(forward_field(chi, Grid(SHAPE)) + 0.002 * z.astype(np.float32), 3.0)
    field += 0.1 * np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    phase = np.angle(np.exp(2j * np.pi * 0.01 * field))
    images = {
        "total_field": field * mask,
        "magnitude": mask,
        "field_sd": 0.1 * mask,
        "residual": 0.01 * mask,
        "mask_brain": mask,
        "magnitude1": mask,
    }
    inputs = {name: folder / f"{name}.nii.gz" for name in images} | {"phase": folder / "phase.npy"}
    for name, data in images.items():
        write_image(inputs[name], data.astype(np.float32), np.eye(4), "float32")
    np.save(inputs["phase"], phase[None].astype(np.float32))
    echo = Echo(1, 0.01, magnitude=inputs["magnitude1"], phase=inputs["total_field"], metadata={})
    return SimpleNamespace(
        echoes=(echo,), echo_times=(0.01,), field_strength=3.0, b0_dir=None, coils=1, given_mask=None, **NOTHING_GIVEN
    ), inputs


def metrics_of(maps, tmp_path, **sections):
    run, inputs = maps
    return stages(run, sections, inputs, tmp_path).metrics


@pytest.mark.parametrize("background", ["pdf", "ismv", "lbv"])
def test_iterations_of_both_solvers_are_recorded(background, maps, tmp_path):
    metrics = metrics_of(maps, tmp_path, background={"method": background}, inversion={"method": "tv"})
    assert metrics["inversion_iterations"] >= 3
    assert metrics["background_iterations"] >= 1


def test_iterations_of_an_inversion_of_each_echo_are_recorded(maps, tmp_path):
    inversion = {"method": "tgv", "per_echo": True, "tgv": {"iterations": 30, "tolerance": 0.0, "levels": 1}}
    metrics = metrics_of(maps, tmp_path, background={"method": "none"}, inversion=inversion)
    assert metrics["inversion_iterations"] == 30
    assert "background_iterations" not in metrics


@pytest.mark.parametrize("inversion", ["tkd", "bayes"])
def test_each_echo_has_its_background_removed_and_is_inverted_by_any_method(inversion, maps, tmp_path):
    """One echo whose phase is that of the fitted field: the same map."""
    sections = {"background": {"method": "lbv", "transmit_receive_phase": "keep"}, "inversion": {"method": inversion}}
    plain, each = (
        stages(maps[0], sections | more, maps[1], tmp_path)
        for more in ({}, {"inversion": {"method": inversion, "per_echo": True}})
    )
    assert each.methods == (*plain.methods, "per_echo")
    for key in ("chi_unreferenced", "local_field", "mask_qsm"):
        first, other = plain.outputs[key].data, each.outputs[key].data
        np.testing.assert_allclose(other, first, atol=0.01 * np.abs(first).max(), err_msg=key)
    assert "background_iterations" in each.metrics


def test_methods_that_do_not_iterate_record_none(maps, tmp_path):
    metrics = metrics_of(maps, tmp_path, background={"method": "vsharp"}, inversion={"method": "tkd"})
    assert not [key for key in metrics if key.endswith("iterations")]


def test_the_device_is_recorded_and_what_ran_on_the_processor_all_the_same(maps, tmp_path, monkeypatch):
    monkeypatch.setattr("bids_app.qsm.device.find_device", lambda name: strict())
    run, inputs = maps
    sections = {"background": {"method": "vsharp", "device": "cuda"}, "inversion": {"method": "tkd", "device": "cuda"}}
    made = stages(run, sections, inputs, tmp_path)
    assert made.metrics["background_device"] == made.metrics["inversion_device"] == "strict arrays"
    assert not [text for text in made.warnings if "processor" in text]
    sections = {"background": {"method": "lbv", "device": "cuda"}, "inversion": {"method": "ilsqr", "device": "cuda"}}
    made = stages(run, sections, inputs, tmp_path)
    assert not [key for key in made.metrics if key.endswith("device")]
    assert [text for text in made.warnings if "processor" in text] == [
        f"{name} cannot run on the strict arrays and ran on the processor." for name in ("LBV", "iLSQR")
    ]


def with_more_field(maps, extra, folder):
    """Return the run and its files with more field (Hz) in the total field and in the phase of its echo."""
    run, inputs = maps
    changed = inputs | {"total_field": folder / "total_field.nii.gz", "phase": folder / "phase.npy"}
    field, mask = (read_image(inputs[name])[0] for name in ("total_field", "mask_brain"))
    write_image(changed["total_field"], ((field + extra) * mask).astype(np.float32), np.eye(4), "float32")
    phase = np.load(inputs["phase"])[0] + 2 * np.pi * 0.01 * extra
    np.save(changed["phase"], np.angle(np.exp(1j * phase))[None].astype(np.float32))
    return run, changed


@pytest.fixture(scope="module")
def ringing(maps, tmp_path_factory):
    """The same ball in slices that were acquired in turn: every second one is 2 Hz higher."""
    steps = np.where(np.arange(SHAPE[2]) % 2, 1.0, -1.0).astype(np.float32)
    return with_more_field(maps, steps, tmp_path_factory.mktemp("ringing"))


PER_ECHO = {"background": {"method": "none"}, "inversion": {"method": "tgv", "per_echo": True, "tgv": {"levels": 1}}}


WRAPPED = PER_ECHO | {"field": {"unwrap": "laplacian"}}


@pytest.mark.parametrize("sections", [{"background": {"method": "lbv"}}, PER_ECHO, WRAPPED])
def test_alternating_slices_leave_the_map_as_it_was_and_are_told(sections, maps, ringing, tmp_path):
    def result(given, **background):
        chosen = sections | {"background": sections["background"] | background}
        return stages(given[0], chosen, given[1], tmp_path)

    plain, auto, kept = result(maps), result(ringing), result(ringing, alternation="keep")
    assert plain.warnings == ()
    assert (
        len(auto.warnings) == 1
        and "along k (" in auto.warnings[0]
        and "background.alternation=keep" in auto.warnings[0]
    )
    assert auto.methods[0] == "alternation" and auto.metrics["alternation"][2] > 3
    assert kept.warnings == () and kept.metrics["alternation"] == [None] * 3
    chi, freed, spoilt = (r.outputs["chi_unreferenced"].data for r in (plain, auto, kept))
    inside = binary_erosion(read_image(maps[1]["mask_brain"])[0] > 0, iterations=2)

    def distance(chi_map):
        return float(np.linalg.norm((chi_map - chi)[inside] - (chi_map - chi)[inside].mean()))

    assert distance(freed) < 0.4 * distance(spoilt)


@pytest.mark.parametrize("sections", [{"background": {"method": "lbv"}}, PER_ECHO, WRAPPED])
def test_the_phase_of_the_coils_is_taken_off_one_echo_alone(sections, maps, tmp_path):
    run, inputs = maps
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    offset = (0.15 * (x**2 + y**2 + z**2)).astype(np.float32)  # Hz
    mask = read_image(inputs["mask_brain"])[0]
    _, changed = with_more_field(maps, offset, tmp_path)

    def result(record, given, **background):
        chosen = sections | {"background": sections["background"] | background}
        return stages(record, chosen, given, tmp_path)

    plain, auto, kept = result(run, inputs), result(run, changed), result(run, changed, transmit_receive_phase="keep")
    assert "transmit_receive_phase" in auto.methods and auto.metrics["transmit_receive_phase_ppm"] > 0.005
    assert "transmit_receive_phase" not in kept.methods and "transmit_receive_phase_ppm" not in kept.metrics
    chi, freed, spoilt = (r.outputs["chi_unreferenced"].data for r in (plain, auto, kept))
    inside = binary_erosion(mask > 0, iterations=2)
    assert np.std((freed - chi)[inside]) < 0.5 * np.std((spoilt - chi)[inside])
    several = SimpleNamespace(**vars(run) | {"echoes": run.echoes * 2})
    if sections not in (PER_ECHO, WRAPPED):  # whose phase has one echo
        assert "transmit_receive_phase" not in result(several, changed).methods


def test_steep_phase_of_an_echo_takes_the_turns_that_were_counted(maps, tmp_path):
    """Wrapped phase says nothing where it changes by more than half a turn from voxel to voxel."""
    run, inputs = maps
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    steep = (4.0 * (x * y + z**2 - x**2)).astype(np.float32)  # Hz, harmonic; at 10 ms up to 0.8 turns a voxel
    mask = read_image(inputs["mask_brain"])[0]
    _, changed = with_more_field(maps, steep, tmp_path)

    def chi(given, sections):
        chosen = sections | {"background": {"method": "none", "transmit_receive_phase": "keep"}}
        return stages(run, chosen, given, tmp_path).outputs["chi_unreferenced"].data

    inside = mask > 0
    plain, counted, wrapped = chi(inputs, PER_ECHO), chi(changed, PER_ECHO), chi(changed, WRAPPED)
    assert np.std((counted - plain)[inside]) < 0.1 * np.std(plain[inside])
    assert np.std((wrapped - plain)[inside]) > np.std(plain[inside])


SINUS = {"background": {"method": "lbv", "boundary_sources": "separate"}}


@pytest.mark.parametrize(
    "sections",
    [
        SINUS,
        {"background": {"method": "none", "boundary_sources": "separate"}, "inversion": {"method": "tgv"}},
        PER_ECHO,
    ],
)
def test_strong_sources_at_the_rim_are_apart_from_the_rest_of_the_map(sections, maps, tmp_path):
    run = maps[0]
    sections = sections | {
        "background": sections["background"] | {"transmit_receive_phase": "keep", "boundary_sources": "separate"}
    }
    kept = sections | {"background": sections["background"] | {"boundary_sources": "keep"}}
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    sinus = (x**2 + (y - 8) ** 2 < 4) & (np.abs(z) < 3)
    extra = ppm_to_hz(forward_field(np.where(sinus, 0.6, 0).astype(np.float32), Grid(SHAPE)), 3.0)
    _, changed = with_more_field(maps, extra, tmp_path)

    def result(given, chosen):
        return stages(run, chosen, given, tmp_path)

    apart, plain = result(changed, sections), result(changed, kept)
    assert "boundary_sources" in apart.methods and "boundary_sources" not in plain.methods
    assert 0 < apart.metrics["boundary_sources_voxels"] < 1000 and "boundary_sources_voxels" not in plain.metrics
    boundary = apart.outputs["mask_boundary_sources"].data
    assert np.count_nonzero(boundary) == apart.metrics["boundary_sources_voxels"] and boundary[sinus].mean() > 0.5
    assert "mask_boundary_sources" not in plain.outputs
    np.testing.assert_array_equal(apart.outputs["mask_qsm"].data, plain.outputs["mask_qsm"].data)
    inside = plain.outputs["mask_qsm"].data > 0
    separate, other = (r.outputs["chi_unreferenced"].data for r in (apart, plain))
    assert np.std((separate - other)[inside]) > 1e-4
    core = sinus & inside
    for chi in (separate, other):
        assert chi[core].mean() - np.median(chi[inside]) > 0.2
    assert ("local_field" in apart.outputs) == ("local_field" in plain.outputs)
    if "local_field" in apart.outputs:
        first, second = (r.outputs["local_field"].data for r in (plain, apart))
        assert np.corrcoef(first[sinus], second[sinus])[0, 1] > 0.7

    ball = np.where(x**2 + (y - 3) ** 2 + z**2 < 12, np.float32(-0.06), np.float32(0))
    (tmp_path / "weak").mkdir()
    _, weak = with_more_field(maps, ppm_to_hz(forward_field(ball, Grid(SHAPE)), 3.0), tmp_path / "weak")
    without = result(weak, sections)
    assert without.metrics["boundary_sources_voxels"] == 0 and "boundary_sources" not in without.methods
    assert not without.outputs["mask_boundary_sources"].data.any()
    same = result(weak, kept).outputs["chi_unreferenced"].data
    np.testing.assert_array_equal(without.outputs["chi_unreferenced"].data, same)


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Files of a head of two tissues in a gradient that its susceptibility shares, and the run."""
    folder, shape, affine = tmp_path_factory.mktemp("head"), (36, 40, 34), np.diag([4.0, 4, 4, 1])
    x, y, z = np.meshgrid(*[(np.arange(n) - n / 2).astype(np.float32) for n in shape], indexing="ij")
    mask = (x / 15) ** 2 + (y / 17) ** 2 + (z / 14) ** 2 < 1
    rng = np.random.default_rng(0)
    tissue = rng.random(shape) < 0.5
    chi = np.where(tissue, np.float32(0.02), np.float32(-0.02)) * mask
    grid = Grid(shape, (4.0, 4.0, 4.0))
    field = ppm_to_hz(forward_field(chi + np.float32(0.001) * z * mask, grid), 3.0)
    images = {
        "total_field": field * mask,
        "magnitude": np.where(tissue, 100, 80) * mask,
        "field_sd": 0.1 * mask,
        "residual": 0.01 * mask,
        "mask_brain": mask,
    }
    inputs = {name: folder / f"{name}.nii.gz" for name in images}
    for name, data in images.items():
        write_image(inputs[name], data.astype(np.float32), affine, "float32")
    echo = Echo(1, 0.01, magnitude=inputs["magnitude"], phase=inputs["total_field"], metadata={})
    bare = Echo(1, 0.01, phase=inputs["total_field"], metadata={})
    runs = [
        SimpleNamespace(
            echoes=(e,), echo_times=(0.01,), field_strength=3.0, b0_dir=None, coils=1, given_mask=None, **NOTHING_GIVEN
        )
        for e in (echo, bare)
    ]
    return runs, inputs, images["magnitude"].astype(np.float32), grid


@pytest.fixture(params=[False, True], ids=["one pass", "two passes"])
def pair(request, head, tmp_path):
    """The step's results with the trend kept and taken off."""
    (run, _), inputs, *_ = head
    inputs = inputs | ({"mask_reliable": inputs["mask_brain"]} if request.param else {})
    background = {"method": "vsharp", "transmit_receive_phase": "keep"}
    return [
        stages(run, {"background": background | {"null_space_trend": t}}, inputs, tmp_path) for t in ("keep", "remove")
    ]


def test_the_trend_is_taken_off_map_and_local_field_and_told(pair, head):
    kept, without = pair
    *_, magnitude, grid = head
    valid = kept.outputs["mask_qsm"].data
    trend = kept.outputs["chi_unreferenced"].data - without.outputs["chi_unreferenced"].data
    assert "null_space_trend" in without.methods
    assert "null_space_trend" not in kept.methods
    assert without.metrics["trend_ppm"] == pytest.approx(float(trend[valid].std()), abs=1e-5)
    assert "trend_ppm" not in kept.metrics
    assert not trend[~valid].any()
    expected = null_space_trend(kept.outputs["chi_unreferenced"].data, valid, grid, appearance(magnitude, valid, grid))
    assert expected.any()
    np.testing.assert_allclose(trend, expected, atol=1e-6)
    np.testing.assert_array_equal(without.outputs["trend"].data, expected)
    assert "trend" not in kept.outputs
    change = ppm_to_hz(forward_field(trend, grid), 3.0)
    local = kept.outputs["local_field"].data - without.outputs["local_field"].data
    np.testing.assert_allclose(local[valid], change[valid], atol=0.1 * np.abs(change[valid]).max())
    if "chi_unreferenced_singlepass" in kept.outputs:
        single = [r.outputs["chi_unreferenced_singlepass"].data for r in pair]
        np.testing.assert_allclose((single[0] - single[1])[valid], trend[valid], atol=1e-6)


def test_without_magnitude_the_trend_is_kept(head, tmp_path):
    (_, run), inputs, *_ = head
    sections = {"background": {"method": "lbv", "transmit_receive_phase": "keep", "null_space_trend": "remove"}}
    outputs = stages(run, sections, inputs, tmp_path)
    assert "null_space_trend" not in outputs.methods and "trend" not in outputs.outputs
    assert "trend_ppm" not in outputs.metrics
    assert NULL_SPACE_TREND.makes(run, settings_of(sections)) == ()
