"""A brainlife task: config.json in, output/ and product.json out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.cli.brainlife import command_line, dataset_from_files, region_plots
from bids_app.errors import InputRefusedError, UsageError

ROOT = Path(__file__).parents[2]


def task(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    command = ["bash", str(ROOT / "app" / "main")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "product.json").read_text())


def files_of(study):
    anat = study / "sub-01" / "anat"
    return {
        part: [str(path) for path in sorted(anat.glob(f"*part-{name}*.nii.gz"))]
        for part, name in (("mag", "mag"), ("phase", "phase"))
    }


def test_loose_files_become_maps(study, tmp_path):
    config = files_of(study) | {"field_strength": 3, "preset": "fast", "echo_times": [0.004, 0.009, 0.014, 0.019]}
    done, product = task(tmp_path, config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert product["meta"]["exit_code"] == 0
    assert list((tmp_path / "output").rglob("*_Chimap.nii.gz"))


def test_echo_times_come_from_brainlife_or_from_beside_the_image(study, tmp_path):
    config = files_of(study)
    config["_inputs"] = [{"id": "phase", "meta": {"MagneticFieldStrength": 3}} for _ in config["phase"]]
    made = dataset_from_files(config, tmp_path / "made")
    sidecars = sorted(made.rglob("*part-phase*.json"))
    fields = [json.loads(path.read_text()) for path in sidecars]
    assert [field["EchoTime"] for field in fields] == [0.004, 0.009, 0.014, 0.019]
    assert {field["MagneticFieldStrength"] for field in fields} == {3}


def test_a_task_without_phase_ends_with_the_usage_code_and_says_so(tmp_path):
    done, product = task(tmp_path, {"mag": []})
    assert done.returncode == 2
    assert "phase" in product["brainlife"][0]["msg"]
    assert product["brainlife"][0]["type"] == "error"


def test_bad_configs_are_refused(study, tmp_path):
    files = files_of(study)
    with pytest.raises(InputRefusedError, match="does not exist"):
        dataset_from_files({"phase": "nowhere.nii.gz"}, tmp_path)
    with pytest.raises(UsageError, match="echo_times"):
        dataset_from_files(files | {"echo_times": [0.1]}, tmp_path)
    with pytest.raises(UsageError, match="magnitude"):
        dataset_from_files(files | {"mag": files["mag"][:1]}, tmp_path)


def test_config_becomes_options():
    config = {"preset": "fast", "participant_label": "01", "set": {"inversion.method": "tkd"}, "mask": ""}
    words = command_line(config, Path("b"), Path("o"))
    assert words[:5] == ["b", "o", "participant", "--participant-label", "01"]
    assert words[5:] == ["--preset", "fast", "--set", 'inversion.method="tkd"']


def test_regional_values_become_a_plot(tmp_path):
    table = tmp_path / "sub-1" / "anat" / "sub-1_seg-nuclei_desc-chi_stats.tsv"
    table.parent.mkdir(parents=True)
    table.write_text("index\tname\themisphere\tmean\tstd\n1\tputamen\tL\t0.05\t0.01\n2\tdentate\tn/a\tn/a\tn/a\n")
    (plot,) = region_plots(tmp_path)
    assert plot["data"][0]["x"] == ["putamen L"]
    assert plot["data"][0]["y"] == [0.05]
