"""Every preset that ships runs, and finds the simulated susceptibility."""

import json

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.model.settings import preset_names, preset_text
from tests.integration.conftest import truth, write_study


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("presets") / "bids", subjects=("01",))


@pytest.mark.parametrize("name", preset_names())
def test_preset_runs_and_finds_the_truth(name, small, tmp_path):
    assert main([str(small), str(tmp_path / "out"), "participant", "--preset", name]) == 0
    anat = tmp_path / "out/sub-01/anat"
    found = nib.load(anat / "sub-01_Chimap.nii.gz").get_fdata()
    valid = nib.load(anat / "sub-01_desc-qsm_mask.nii.gz").get_fdata() > 0
    chi, head, _ = truth()
    assert np.count_nonzero(valid & head) > 0.6 * np.count_nonzero(head)
    assert np.corrcoef(found[valid & head], chi[valid & head])[0, 1] > 0.6
    sidecar = json.loads((anat / "sub-01_Chimap.json").read_text())
    assert sidecar["Parameters"]["inversion"]["method"] in preset_text(name)
    single = sidecar["Parameters"]["background"]["method"] == "none"
    assert bool(list((tmp_path / "out").rglob("*desc-local_fieldmap.nii.gz"))) is not single


def test_show_preset_prints_what_can_be_used_again(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--show-preset", "tgv"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "# Single-step TGV" in text
    own = tmp_path / "mine.toml"
    own.write_text(text.replace("alpha1 = 0.1 ", "alpha1 = 0.5 "))
    assert main([str(small), str(tmp_path / "out"), "participant", "--preset", str(own), "--dry-run"]) == 0
    assert "'alpha1': 0.5" in capsys.readouterr().out


def test_methods_that_do_not_go_together_are_a_usage_error(small, tmp_path, capsys):
    command = [str(small), str(tmp_path / "out"), "participant", "--preset", "tgv", "--dry-run"]
    assert main([*command, "--set", "background.method=vsharp"]) == 2
    assert "set background.method=none" in capsys.readouterr().err
    assert main([*command, "--set", "field.keep_phase=false"]) == 2
    assert "needs field.keep_phase=true" in capsys.readouterr().err
    assert main([*command, "--set", "inversion.per_echo=false", "--set", "field.keep_phase=false"]) == 0
