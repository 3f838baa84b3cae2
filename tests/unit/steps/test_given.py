"""Maps and masks of other datasets in the place of steps: what runs, and what comes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bids_app.derivatives.files import read_image, write_image
from bids_app.engine.chain import Chain
from bids_app.errors import QsmAppError
from bids_app.model.context import Context
from bids_app.model.records import Echo, GivenMap, GivenMask, GreRun
from bids_app.model.settings import build_settings, merge
from bids_app.model.step import StepInput, plan
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.units import GAMMA_MHZ_PER_T, ppm_to_hz
from bids_app.steps import PARTICIPANT
from bids_app.steps.participant.given_mask import GIVEN_MASK

SHAPE = (30, 28, 26)
QUICK = {
    "background": {"method": "vsharp", "boundary_sources": "keep", "null_space_trend": "keep"},
    "inversion": {"method": "tkd"},
    "mask": {"filled": "quality,threshold:0.3,largest,holes"},
    "segmentation": {"which": ["none"]},
}
#: Values of 1 Hz in each unit, at 3 T.
ONE_HZ = {"Hz": 1.0, "rad/s": 2 * np.pi, "T": 1e-6 / GAMMA_MHZ_PER_T, "ppm": 1 / (3 * GAMMA_MHZ_PER_T)}


@pytest.fixture(autouse=True)
def small_heads(monkeypatch):
    monkeypatch.setattr("bids_app.steps.participant.common.SMALLEST_HEAD", 0.0)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    """Truth (ppm) and total field (Hz) of a ball, and the folder with its magnitudes."""
    folder = tmp_path_factory.mktemp("given")
    x, y, z = np.meshgrid(*[np.arange(n) - n / 2 for n in SHAPE], indexing="ij")
    mask = x**2 + y**2 + z**2 < 11**2
    chi = (0.1 * ((x - 2) ** 2 + y**2 + z**2 < 16)).astype(np.float32) * mask
    field = ppm_to_hz(forward_field(chi, Grid(SHAPE)) + 0.01 * z.astype(np.float32), 3.0) * mask
    for echo in (1, 2, 3):
        image(folder / f"m{echo}.nii.gz", mask * np.exp(-20 * 0.005 * echo) + 0.01)
    return chi, field, folder


def image(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.asarray(data, np.float32), np.eye(4), "float32")
    return path


def run_of(maps, given, echoes=3):
    names = [Echo(n, 0.005 * n, magnitude=maps[2] / f"m{n}.nii.gz") for n in range(1, echoes + 1)]
    return GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", tuple(names), 3.0, given_maps=tuple(given))


def given(folder, product, data, units):
    return GivenMap(product, image(folder / f"{product}_{units.replace('/', '')}.nii.gz", data), units)


def made(run, folder, **sections):
    """Run the whole chain; return what ran, and the maps by name."""
    settings = build_settings(merge(QUICK, sections))
    chain = Chain(PARTICIPANT, run, settings, Context(folder, folder / "out", folder / "work", 1))
    done = chain.run()
    assert done.failures == []
    read = {path.name: read_image(path)[0] for path in (folder / "out").rglob("*.nii.gz")}
    return done.ran, {name.removeprefix("sub-01_").removesuffix(".nii.gz"): data for name, data in read.items()}


def test_a_total_field_gives_the_same_map_in_every_unit(maps, tmp_path):
    outputs = {}
    for number, (units, factor) in enumerate(ONE_HZ.items()):
        run = run_of(maps, [given(tmp_path, "total_field", maps[1] * factor, units)])
        ran, outputs[units] = made(run, tmp_path / str(number))
        assert not {"phase", "field", "coils"} & set(ran)
        assert {"import-basis", "import-total-field", "background", "inversion", "relaxometry", "swi", "qc"} <= set(ran)
    inside = outputs["Hz"]["desc-qsm_mask"] > 0
    assert np.corrcoef(outputs["Hz"]["Chimap"][inside], maps[0][inside])[0, 1] > 0.8
    for units in ONE_HZ:
        np.testing.assert_allclose(outputs[units]["Chimap"], outputs["Hz"]["Chimap"], atol=2e-5)
        np.testing.assert_allclose(outputs[units]["desc-total_fieldmap"], maps[1], rtol=1e-5, atol=1e-4)


def test_a_wrapped_field_map_is_unwrapped(maps, tmp_path):
    field = 5 * maps[1]
    period = float(np.ptp(field)) / 2.5
    wrapped = (field + period / 2) % period - period / 2
    whole = given(tmp_path, "total_field", np.where(maps[1] != 0, wrapped, 0), "Hz")
    _, outputs = made(run_of(maps, [replace(whole, period_hz=period)]), tmp_path / "a")
    error = (outputs["desc-total_fieldmap"] - field)[maps[1] != 0]
    np.testing.assert_allclose(error, np.round(np.median(error) / period) * period, atol=1e-3)
    continuous = given(tmp_path / "b", "total_field", field, "Hz")
    _, outputs = made(run_of(maps, [replace(continuous, period_hz=period)]), tmp_path / "b")
    np.testing.assert_allclose(outputs["desc-total_fieldmap"], field, atol=1e-3)


def test_a_local_field_skips_the_background_removal(maps, tmp_path):
    local = ppm_to_hz(forward_field(maps[0], Grid(SHAPE)), 3.0) * (maps[1] != 0)
    ran, outputs = made(run_of(maps, [given(tmp_path, "local_field", local, "Hz")]), tmp_path)
    assert not {"phase", "field", "background", "swi"} & set(ran)
    assert {"import-local-field", "inversion"} <= set(ran)
    assert np.array_equal(outputs["desc-brain_mask"] > 0, local != 0)
    np.testing.assert_allclose(outputs["desc-local_fieldmap"], local, atol=1e-3)
    assert np.corrcoef(outputs["Chimap"][local != 0], maps[0][local != 0])[0, 1] > 0.9
    assert "desc-processing_mask" not in outputs
    sidecar = json.loads((tmp_path / "out/sub-01/anat/sub-01_Chimap.json").read_text())
    assert sidecar["ImportedFrom"] == "local_field_Hz.nii.gz"
    assert sidecar["Parameters"]["background"] == {"null_space_trend": "keep"}
    assert sidecar["Parameters"]["inversion"]["method"] == "tkd"


@pytest.mark.parametrize(("units", "factor"), [("ppm", 1), ("ppb", 1000)])
def test_a_susceptibility_map_skips_everything_before_it(units, factor, maps, tmp_path):
    inside = maps[1] != 0
    chi = (maps[0] + 0.01) * inside
    chosen = {"reference": {"region": "none"}, "mask": {"two_pass": True}}
    ran, outputs = made(run_of(maps, [given(tmp_path, "chimap", chi * factor, units)]), tmp_path, **chosen)
    assert not {"phase", "field", "background", "inversion", "null_space_trend"} & set(ran)
    assert {"import-chimap", "reference", "relaxometry", "qc"} <= set(ran)
    np.testing.assert_allclose(outputs["Chimap"], chi, atol=1e-6)
    assert np.array_equal(outputs["desc-qsm_mask"] > 0, chi != 0)
    sidecar = json.loads((tmp_path / "out/sub-01/anat/sub-01_Chimap.json").read_text())
    # No method is named that did not run.
    assert list(sidecar["Parameters"]) == ["reference"]
    assert sidecar["ImportedFrom"] == f"chimap_{units}.nii.gz"
    assert f"bids:raw:chimap_{units}.nii.gz" in sidecar["Sources"]


def test_maps_of_several_stages_are_all_kept(maps, tmp_path):
    inside = maps[1] != 0
    local = ppm_to_hz(forward_field(maps[0], Grid(SHAPE)), 3.0) * inside
    rate = 20 * inside
    several = [
        given(tmp_path, product, data, units)
        for product, data, units in (
            ("total_field", maps[1], "Hz"),
            ("local_field", local, "Hz"),
            ("chimap", (maps[0] + 0.01) * inside, "ppm"),
            ("r2star", rate, "1/s"),
        )
    ]
    ran, outputs = made(run_of(maps, several), tmp_path)
    assert not {"background", "inversion", "relaxometry"} & set(ran)
    assert "swi" in ran
    np.testing.assert_allclose(outputs["desc-local_fieldmap"], local, atol=1e-4)
    np.testing.assert_allclose(outputs["R2starmap"], rate)


def test_without_echoes_and_magnitude_the_map_is_made(maps, tmp_path):
    run = replace(run_of(maps, [given(tmp_path, "total_field", maps[1], "Hz")]), echoes=())
    ran, outputs = made(run, tmp_path)
    assert not {"relaxometry", "swi"} & set(ran)
    assert "Chimap" in outputs


def test_what_was_made_before_goes_when_a_map_stands_for_it(maps, tmp_path):
    """Records and products of replaced steps would be taken for those of the present map, and the other way round."""
    total = given(tmp_path, "total_field", maps[1], "Hz")
    chi = given(tmp_path, "chimap", (maps[0] + 0.01) * (maps[1] != 0), "ppm")
    _, first = made(run_of(maps, [total]), tmp_path)
    assert {"desc-total_fieldmap", "desc-local_fieldmap"} <= set(first)
    ran, second = made(run_of(maps, [chi]), tmp_path)
    assert "import-chimap" in ran
    assert not {"desc-total_fieldmap", "desc-local_fieldmap"} & set(second)
    names = {path.name for path in (tmp_path / "out").rglob("*_step-*.json")}
    assert "sub-01_step-import-chimap.json" in names
    assert not {"sub-01_step-inversion.json", "sub-01_step-import-total-field.json"} & names
    _, third = made(run_of(maps, [total]), tmp_path)
    assert set(third) == set(first)
    np.testing.assert_array_equal(third["Chimap"], first["Chimap"])


def test_a_map_without_a_mask_is_reported(maps, tmp_path):
    run = run_of(maps, [given(tmp_path, "chimap", maps[0] + 0.01, "ppm")])
    step = StepInput(
        run, build_settings({}), {"magnitude": maps[2] / "m1.nii.gz", **GIVEN_MASK.sources(run, None)}, tmp_path, 1
    )
    (warning,) = GIVEN_MASK.function(step).warnings
    assert "has a value in 100% of the field of view" in warning


def test_an_empty_map_fails_with_its_name(maps, tmp_path):
    run = run_of(maps, [given(tmp_path, "chimap", 0 * maps[0], "ppm")])
    settings = build_settings(QUICK)
    done = Chain(PARTICIPANT, run, settings, Context(tmp_path, tmp_path / "out", tmp_path / "work", 1)).run()
    assert "chimap_ppm.nii.gz is 0 everywhere" in done.failures[0].sentence


def test_what_cannot_be_made_is_left_out_and_known(maps):
    settings = build_settings(QUICK)
    run = run_of(maps, [GivenMap("chimap", maps[2] / "m1.nii.gz", "ppm")])
    planned = plan(PARTICIPANT, run, settings)
    assert {"phase", "field", "background", "inversion"} <= {step.name for step in planned.replaced}
    assert [step.name for step in planned.left_out] == ["swi"]
    assert plan(PARTICIPANT, run_of(maps, []), settings).replaced == ()


@pytest.mark.parametrize("space", ["gre", "headers"])
def test_a_mask_on_another_grid_is_brought_to_the_run(space, tmp_path):
    """A cube of 10 mm in voxels of 2 mm is the same cube in voxels of 1 mm."""
    like = image(tmp_path / "like.nii.gz", np.ones((20, 20, 20)))
    cube = np.zeros((20, 20, 20), bool)
    cube[4:14, 6:16, 2:12] = True
    path = tmp_path / "mask.nii.gz"
    if space == "gre":
        image(path, cube)
    else:
        affine = np.diag([2.0, 2, 2, 1])
        affine[:3, 3] = 0.5
        write_image(path, cube[::2, ::2, ::2].astype(np.float32), affine, "float32")
    run = GreRun("01", None, (("sub", "01"),), "MEGRE", "anat", (), 3.0, given_mask=GivenMask(path, space))
    settings = build_settings({})
    assert GIVEN_MASK.needs(run, settings) == ("magnitude",)
    step = StepInput(run, settings, {"magnitude": like, "given_mask": path}, tmp_path, 1)
    result = GIVEN_MASK.function(step)
    mask = result.outputs["mask_given"].data > 0
    assert not (mask & ~cube).any()
    assert mask.sum() > 0.99 * cube.sum()  # the interpolation rounds its corners
    assert len(result.warnings) == (space == "headers")
    if space == "headers":
        affine[:3, 3] = 500
        write_image(path, np.ones((3, 3, 3), np.float32), affine, "float32")
        with pytest.raises(QsmAppError, match="no voxel of it lies in the run's field of view"):
            GIVEN_MASK.function(step)


def test_an_external_program_stands_for_bet(maps, tmp_path):
    """The recipe joins its mask; the record names it for the methods text."""
    inside = maps[1] != 0
    cut = inside.copy()
    cut[:12] = False
    program = tmp_path / "tool.sh"
    program.write_text(f'cp "{image(tmp_path / "cut.nii.gz", cut)}" "$2"\n')
    sections = {
        "mask": {"filled": "bet & quality,threshold:0.3"},
        "brain_extraction": {"program": f"sh {program} {{image}} {{mask}}"},
    }
    ran, outputs = made(run_of(maps, [given(tmp_path, "total_field", maps[1], "Hz")]), tmp_path, **sections)
    assert "brain-extraction" in ran
    mask = outputs["desc-brain_mask"] > 0
    assert not (mask & ~cut).any() and mask.sum() > 0.9 * cut.sum()
    record = json.loads(next((tmp_path / "out").rglob("*_step-brain-extraction.json")).read_text())
    assert record["methods"] == ["brain_program"]
    # The script is a file that the step reads.
    run = run_of(maps, [given(tmp_path, "total_field", maps[1], "Hz")])
    assert "brain-extraction" not in made(run, tmp_path, **sections)[0]
    program.write_text(f"# corrected\n{program.read_text()}")
    assert "brain-extraction" in made(run, tmp_path, **sections)[0]
    # A given mask is taken as it is: nothing is extracted.
    path = image(tmp_path / "mask.nii.gz", inside)
    run = replace(run_of(maps, [given(tmp_path, "total_field", maps[1], "Hz")]), given_mask=GivenMask(path))
    assert "brain-extraction" not in [
        step.name for step in plan(PARTICIPANT, run, build_settings(merge(QUICK, sections))).steps
    ]


def test_a_mask_in_t1w_space_needs_the_registration_and_no_segmentation(maps, tmp_path):
    from bids_app.model.records import Anatomical
    from bids_app.steps import ANATOMICAL

    t1w = Anatomical(maps[2] / "m1.nii.gz", "01", None, (("sub", "01"),), is_needed=True)
    run = replace(run_of(maps, []), t1w=t1w, given_mask=GivenMask(tmp_path / "mask.nii.gz", "t1w"))
    settings = build_settings(QUICK)
    names = [step.name for step in plan(PARTICIPANT, run, settings).steps]
    assert names.index("registration") < names.index("given-mask") < names.index("mask")
    assert [step.name for step in plan(ANATOMICAL, t1w, settings).steps] == ["t1w"]
    assert plan(ANATOMICAL, replace(t1w, is_needed=False), settings).steps == ()
