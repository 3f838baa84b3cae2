"""Every preset that ships runs, and finds the simulated susceptibility."""

import json

import nibabel as nib
import numpy as np
import pytest

from bids_app import qsm
from bids_app.cli.command import main
from bids_app.model.settings import preset_names
from bids_app.qsm.phase.scaling import to_radians
from bids_app.qsm.units import ppm_to_hz
from tests.integration.conftest import TIMES, truth, write_study


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("presets") / "bids", subjects=("01",))


# The preset chi-separation refuses data without spin echoes: see test_separation.
@pytest.mark.parametrize("name", [name for name in preset_names() if name != "chi-separation"])
def test_preset_runs_and_finds_the_truth(name, small, tmp_path):
    assert main([str(small), str(tmp_path / "out"), "participant", "--preset", name]) == 0
    anat = tmp_path / "out/sub-01/anat"
    estimate = nib.load(anat / "sub-01_Chimap.nii.gz").get_fdata()
    valid = nib.load(anat / "sub-01_desc-qsm_mask.nii.gz").get_fdata() > 0
    chi, head, _ = truth()
    assert np.count_nonzero(valid & head) > 0.6 * np.count_nonzero(head)
    assert np.corrcoef(estimate[valid & head], chi[valid & head])[0, 1] > 0.6
    sidecar = json.loads((anat / "sub-01_Chimap.json").read_text())
    assert sidecar["Parameters"]["inversion"]["method"] == qsm.preset(name).inversion.method
    single = sidecar["Parameters"]["background"]["method"] == "none"
    assert bool(list((tmp_path / "out").rglob("*desc-local_fieldmap.nii.gz"))) is not single
    assert_library_gives_the_same(name, small, tmp_path / "out")


def assert_library_gives_the_same(preset, study, out):
    """The command's map and local field are those of the library on the same arrays, bit for bit."""

    def stack(part):
        paths = [study / f"sub-01/anat/sub-01_echo-{n}_part-{part}_MEGRE.nii.gz" for n in range(1, len(TIMES) + 1)]
        return np.stack([np.asarray(nib.load(path).dataobj, np.float32) for path in paths])

    image = nib.load(study / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz")
    phase = to_radians(stack("phase"), units="arbitrary").phase
    grid = qsm.Grid.from_affine(image.shape, image.affine)
    result = qsm.reconstruct(phase, stack("mag"), TIMES, grid, 3.0, preset)
    expected = {"anat/sub-01_Chimap": result.chi, "anat/sub-01_desc-qsm_mask": result.mask.astype(np.uint8)}
    if result.local_field is not None:
        expected["fmap/sub-01_desc-local_fieldmap"] = ppm_to_hz(result.local_field, 3.0)
    for name, data in expected.items():
        made = np.asarray(nib.load(out / f"sub-01/{name}.nii.gz").dataobj)
        np.testing.assert_array_equal(made, data, err_msg=name)
        assert made.dtype == data.dtype


def test_show_preset_prints_what_can_be_used_again(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--show-preset", "tgv"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "# Single-step TGV" in text
    path = tmp_path / "mine.toml"
    path.write_text(f"{text}\n[inversion.tgv]\nalpha1 = 0.5\n")
    assert main([str(small), str(tmp_path / "out"), "participant", "--preset", str(path), "--dry-run"]) == 0
    assert "'alpha1': 0.5" in capsys.readouterr().out


def test_methods_that_do_not_go_together_are_a_usage_error(small, tmp_path, capsys):
    command = [str(small), str(tmp_path / "out"), "participant", "--preset", "tgv", "--dry-run"]
    assert main([*command, "--set", "background.method=vsharp"]) == 2
    assert "set background.method=none" in capsys.readouterr().err
    assert main([*command, "--set", "inversion.per_echo=false"]) == 0
