"""A brainlife task: config.json in, output/ and product.json out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_app.adapters.labels import Region
from bids_app.adapters.regions import statistics
from bids_app.cli.brainlife import command_line, dataset_from_files, region_plots
from bids_app.derivatives.files import write_table
from bids_app.errors import InputRefusedError, UsageError

ROOT = Path(__file__).parents[2]


def task(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [str(ROOT / "main")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "product.json").read_text())


def files_of(study):
    anat = study / "sub-01" / "anat"
    return {
        part: [str(path) for path in sorted(anat.glob(f"*part-{name}*.nii.gz"))]
        for part, name in (("mag", "mag"), ("phase", "phase"))
    }


def test_loose_files_become_maps(study, tmp_path):
    times = "0.004, 0.009, 0.014, 0.019"  # as forms give it
    config = files_of(study) | {"field_strength": "3", "preset": "fast", "echo_times": times, "segmentation": "none"}
    # A metric that is out of its range gives a warning.
    config["set"] = {"qc.volume_min": 99000.0, "qc.volume_max": 99001.0}
    done, product = task(tmp_path, config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert product["meta"]["exit_code"] == 0
    assert list((tmp_path / "output").rglob("*_Chimap.nii.gz"))
    warned = [note["msg"] for note in product["brainlife"] if note["type"] == "warning"]
    assert any(text.startswith("sub-brainlife: ") and "qc.volume_min" in text for text in warned), warned


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


@pytest.mark.parametrize("text", ["0.004 x", "[nan, 1]", {"a": 1}, True, [None], [[1]]])
def test_echo_times_are_numbers(study, tmp_path, text):
    with pytest.raises(UsageError, match=r"config.json: echo_times is .*; give numbers"):
        dataset_from_files(files_of(study) | {"echo_times": text}, tmp_path)


@pytest.mark.parametrize("value", ["", "three", [3, 3], None])
def test_the_field_strength_is_one_number(study, tmp_path, value):
    with pytest.raises(UsageError, match="give one number"):
        dataset_from_files(files_of(study) | {"field_strength": value}, tmp_path)


def test_the_interpreter_is_that_of_the_installation(tmp_path):
    """Another Python comes first on PATH: it has no bids_app."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "python3").write_text("#!/bin/sh\nexit 77\n")
    (other / "python3").chmod(0o755)
    (tmp_path / "config.json").write_text("[]")
    path = os.pathsep.join([str(other), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(ROOT / "main")],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "holds no JSON object" in done.stderr


def test_bad_configs_are_refused(study, tmp_path):
    files = files_of(study)
    with pytest.raises(InputRefusedError, match="does not exist"):
        dataset_from_files({"phase": "nowhere.nii.gz"}, tmp_path)
    with pytest.raises(UsageError, match="echo_times"):
        dataset_from_files(files | {"echo_times": [0.1]}, tmp_path)
    with pytest.raises(UsageError, match="magnitude"):
        dataset_from_files(files | {"mag": files["mag"][:1]}, tmp_path)


def test_config_becomes_options():
    config = {"preset": "fast", "participant_label": "01", "set": {"inversion.method": "tkd"}, "mask": "", "atlas": "a"}
    words = command_line(config, Path("b"), Path("o"))
    assert words[:5] == ["b", "o", "participant", "--participant-label", "01"]
    assert words[5:] == ["--preset=fast", "--atlas=a", "--set", 'inversion.method="tkd"']


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"participant_label": {"a": 1}}, "participant_label is .*; give a text or a list"),
        ({"participant_label": [None]}, "participant_label is .*; give a text or a list"),
        ({"set": ["inversion.method=tkd"]}, "set is .*; give names and values"),
        ({"preset": ["fast"]}, "preset is .*; give one value"),
    ],
)
def test_values_of_other_kinds_are_refused(config, text):
    with pytest.raises(UsageError, match=f"config.json: {text}"):
        command_line(config, Path("b"), Path("o"))


@pytest.mark.parametrize("content", [b"[1]", b"{", b"\xff{}", b"[" * 100_000])
def test_a_sidecar_that_is_no_object_is_refused(study, tmp_path, content):
    files = files_of(study)
    copy = tmp_path / Path(files["phase"][0]).name
    copy.symlink_to(files["phase"][0])
    copy.with_name(copy.name.replace(".nii.gz", ".json")).write_bytes(content)
    with pytest.raises(InputRefusedError, match=r"part-phase.*\.json (cannot be read as JSON|holds no JSON object)"):
        dataset_from_files({"phase": [str(copy)], "_inputs": 3}, tmp_path / "bids")


def test_regional_values_become_a_plot(tmp_path):
    table = tmp_path / "sub-1" / "anat" / "sub-1_seg-nuclei_desc-chi_stats.tsv"
    table.parent.mkdir(parents=True)
    rows = statistics(
        np.array([[[1, 1, 2]]]),
        {1: Region(1, "putamen", "L"), 2: Region(2, "dentate"), 3: Region(3, "claustrum")},
        {"chi": np.float32([[[0.04, 0.06, 0.1]]])},
        np.ones((1, 1, 3), bool),
        1.0,
    )
    write_table(table, rows)
    (plot,) = region_plots(tmp_path)
    assert plot["data"][0]["x"] == ["putamen L", "dentate"]
    assert plot["data"][0]["y"] == pytest.approx([0.05, 0.1])
    assert plot["data"][0]["error_y"]["array"] == [pytest.approx(0.01414214), None]
