"""The adapter against a stand-in run_fastsurfer.sh that behaves, and that fails in every known way."""

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters import fastsurfer
from bids_app.errors import QsmAppError, ToolMissingError
from tests.helpers.fastsurfer import HELP, stand_in

#: What the real one's console shows when its network raises: the script's own line comes last, its log is appended.
RAISES = "echo Traceback; echo '  File x'; echo 'AssertionError: nothing segmented'"
SAYS_VOLUME = "echo 'Total segmentation volume is too small. Segmentation may be corrupted.'"
ENDS = """
while [ "$1" != --sd ]; do [ "$1" = --sid ] && sid="$2"; shift; done; mkdir -p "$2/$sid/scripts"
echo "time command failing, not using time..." > "$2/$sid/scripts/deep-seg.log"
echo "ERROR: FastSurfer asegdkt segmentation failed."; exit 1
"""
SETTINGS = {"device": "cpu", "viewagg_device": "auto", "vox_size": "1", "python": ""}


@pytest.fixture
def t1w(tmp_path):
    path = tmp_path / "T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), np.eye(4)), path)
    return path


def test_found_by_option_then_environment_then_path(tmp_path, monkeypatch):
    a, b, c = (stand_in(tmp_path / name) for name in "abc")
    environment = {"FASTSURFER_HOME": str(b.parent), "PATH": str(c.parent)}
    assert fastsurfer.find_script(a.parent, environment) == a
    assert fastsurfer.find_script(a, environment) == a
    assert fastsurfer.find_script(None, environment) == b
    assert fastsurfer.find_script(None, {"PATH": str(c.parent)}) == c
    assert fastsurfer.find_script(tmp_path / "none", environment) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FASTSURFER_HOME", raising=False)
    with pytest.raises(ToolMissingError, match="--segmentation atlas") as caught:
        fastsurfer.require()
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_good_run(tmp_path, t1w):
    script = stand_in(tmp_path / "home")
    made = fastsurfer.segment(t1w, tmp_path / "work", script, 2, SETTINGS)
    assert made.version == "2.4.2+abc"
    assert made.labels.name == "aparc.DKTatlas+aseg.deep.mgz"
    words = (script.parent / "called.txt").read_text().split()
    for pair in (["--t1", str(t1w)], ["--threads", "2"], ["--device", "cpu"], ["--vox_size", "1"]):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert {"--seg_only", "--no_cereb", "--no_hypothal"} <= set(words)
    assert "--no_cc" not in words  # this release does not know it


def test_an_older_release_is_called_with_what_it_knows(tmp_path, t1w):
    script = stand_in(tmp_path / "home", options="--t1 --sid --sd --seg_only --device")
    made = fastsurfer.segment(t1w, tmp_path / "work", script, 2, SETTINGS)
    assert made.version == "unknown"
    words = (script.parent / "called.txt").read_text().split()
    assert not {"--threads", "--vox_size", "--no_cereb", "--no_hypothal", "--viewagg_device"} & set(words)


def test_its_python_is_not_ours(tmp_path, t1w, monkeypatch):
    """An activated environment of ours, as in the container, would give it a Python without torch."""
    note = tmp_path / "told"
    body = (
        f'if [ "$1" != --version ]; then {{ which python3 || echo none; echo "$FASTSURFER_HOME $OMP_NUM_THREADS"; '
        f'echo "$PYTHONPATH$VIRTUAL_ENV"; }} > {note}; fi'
    )
    script = stand_in(tmp_path / "home", options=HELP + " --py", body=body)
    ours = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{ours}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", str(ours.parent))
    monkeypatch.setenv("FASTSURFER_HOME", "/of/another/release")
    monkeypatch.delenv("FASTSURFER_PYTHON", raising=False)
    fastsurfer.segment(t1w, tmp_path / "work", script, 3, SETTINGS)
    python, home, paths = note.read_text().splitlines()
    assert Path(python).parent != ours or sys.prefix == sys.base_prefix
    assert home == f"{script.parent} 3"
    assert paths == ""
    words = (script.parent / "called.txt").read_text()
    assert "--py" not in words
    # Named by the setting, by the environment, or lying in FastSurfer's own folder.
    python3 = script.parent / "venv" / "bin" / "python3"
    python3.parent.mkdir(parents=True)
    python3.touch()
    assert fastsurfer.python_of(script, "", {}) == f"{python3} -s"
    assert fastsurfer.python_of(script, "", {"FASTSURFER_PYTHON": "/venv/bin/python3 -s"}) == "/venv/bin/python3 -s"
    assert fastsurfer.python_of(script, "python3.12", {"FASTSURFER_PYTHON": "x"}) == "python3.12"
    tool = fastsurfer.probe(script, "python3.12")
    line = fastsurfer.command(tool, t1w, "a", tmp_path, 1, SETTINGS | {"python": "python3 -s"})
    assert line[line.index("--py") + 1] == "python3 -s"


def test_a_complaint_of_the_shell_is_no_version(tmp_path):
    body = 'if [ "$1" = --asked ]; then exit; fi'
    script = stand_in(tmp_path / "home", body=body)
    text = script.read_text().replace('echo "2.4.2+abc"', 'echo "$0: line 345: python3.10: command not found" >&2')
    script.write_text(text)
    assert fastsurfer.probe(script).version == "unknown"


def test_something_else_of_that_name_is_refused(tmp_path):
    script = stand_in(tmp_path / "home", options="--fast --surf")
    with pytest.raises(ToolMissingError, match="--seg_only"):
        fastsurfer.probe(script)
    broken = tmp_path / "broken" / "run_fastsurfer.sh"
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(0o755)
    with pytest.raises(ToolMissingError):
        fastsurfer.probe(broken)


def test_a_script_without_the_execution_bit_runs_by_bash(tmp_path, t1w):
    script = stand_in(tmp_path / "home")
    script.chmod(0o644)
    if os.access(script, os.X_OK):
        pytest.skip("this file system does not keep execution bits")
    assert fastsurfer.segment(t1w, tmp_path / "work", script, 1, SETTINGS).labels.is_file()


@pytest.mark.parametrize(
    ("fault", "body", "says"),
    [
        ("nolabels", "", "aparc.DKTatlas.aseg.deep.mgz is not there"),
        ("nomask", "", "mask.mgz is not there"),
        ("broken", "", "cannot be read"),
        ("shape", "", "do not belong together"),
        ("few", "", "structures only"),
        ("tiny", "", "no brain's volume"),
        ("", 'echo "You are trying to run run_fastsurfer.sh as root"; exit 1', "run as a user"),
        ("", 'echo "You are trying to run run_fastsurfer.sh as root"; exit 0', "run as a user"),
        ("", 'echo "Total segmentation volume is too small. Segmentation may be corrupted."', "volumes failed"),
        ("", 'echo "Cannot find the python interpreter python3.10."; exit 1', "--set fastsurfer.python="),
        ("", "echo \"ModuleNotFoundError: No module named 'torch'\"; exit 1", "--set fastsurfer.python="),
        ("", 'echo "ERROR: FastSurfer asegdkt segmentation failed QC checks."; exit 1', "volumes failed"),
        ("", f"{SAYS_VOLUME}; {ENDS}", "volumes failed.*It said: Total segmentation volume is too small"),
        ("", f"{RAISES}; {ENDS}", r"exit code 1: AssertionError: nothing segmented\nEnd of"),
        ("", f"echo 'requests.exceptions.RequestException: No server reachable.'; {ENDS}", "put the checkpoints"),
        (
            "",
            f"echo 'Downloading checkpoint a.pkl from x into y'; {RAISES}; {ENDS}",
            "AssertionError: nothing segmented",
        ),
        ("", f"echo 'ValueError: cuda not available, try cpu'; {ENDS}", "--set fastsurfer.device=cpu"),
        ("", f"echo 'All went well'; {ENDS}", r"exit code 1: All went well\nEnd of"),
        ("", 'echo "ERROR: out of memory on cuda:0"; exit 137', "exit code 137: ERROR: out of memory"),
    ],
)
def test_every_failure_is_told(tmp_path, t1w, fault, body, says):
    script = stand_in(tmp_path / "home", fault, body=body)
    with pytest.raises(QsmAppError, match=says):
        fastsurfer.segment(t1w, tmp_path / "work", script, 1, SETTINGS)


def test_existing_outputs_are_found_by_subject_and_session(tmp_path):
    for name in ("sub-01_ses-b", "sub-02"):
        for file in ("aparc.DKTatlas+aseg.deep.mgz", "mask.mgz"):
            path = tmp_path / name / "mri" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert fastsurfer.existing(tmp_path, "01", "b").labels.parts[-3] == "sub-01_ses-b"
    assert fastsurfer.existing(tmp_path, "01", "a") is None
    assert fastsurfer.existing(tmp_path, "02", "a").labels.parts[-3] == "sub-02"


def test_the_end_of_both_logs_is_kept_with_the_error(tmp_path, t1w):
    """The step's folder goes when it fails; what FastSurfer said goes into the crash file."""
    script = stand_in(tmp_path / "home", body=f"for n in $(seq 200); do echo line$n; done; {RAISES}; {ENDS}")
    with pytest.raises(QsmAppError) as caught:
        fastsurfer.segment(t1w, tmp_path / "work", script, 1, SETTINGS)
    console, segmentation = caught.value.__notes__
    assert console.startswith("End of fastsurfer.log:\nline")
    assert "AssertionError: nothing segmented" in console
    assert "line200" in console
    assert "line100" not in console
    assert segmentation.splitlines() == ["End of deep-seg.log:", "time command failing, not using time..."]


def python_that(folder, script):
    path = folder / "python3"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("echo torch nibabel", "lacks: torch nibabel"),
        ("echo 'ImportError: libcrypt' >&2; exit 1", "lacks: ImportError: libcrypt"),
        (None, "it cannot be started"),
    ],
)
def test_a_python_that_cannot_run_it_is_told_before_anything_runs(tmp_path, answer, says):
    script = stand_in(tmp_path / "home", options=HELP + " --py")
    python = str(tmp_path / "none") if answer is None else python_that(tmp_path / "bin", answer)
    with pytest.raises(ToolMissingError, match=says) as caught:
        fastsurfer.check_python(script, python)
    assert "--set fastsurfer.python=" in str(caught.value)
    assert caught.value.exit_code == 4
    fastsurfer.check_python(script, python_that(tmp_path / "good", "true"))


def test_a_script_whose_own_python_is_missing_is_told_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTSURFER_PYTHON", raising=False)
    script = stand_in(tmp_path / "home")
    fastsurfer.check_python(script)
    other = stand_in(tmp_path / "other")
    text = other.read_text().replace('echo "2.4.2+abc"', 'echo "$0: line 345: python3.10: command not found" >&2')
    other.write_text(text)
    with pytest.raises(ToolMissingError, match=r"It said: .*python3\.10: command not found"):
        fastsurfer.check_python(other)


def test_a_space_in_the_path_of_its_environment_is_told(tmp_path):
    script = stand_in(tmp_path / "Fast Surfer")
    python3 = script.parent / ".venv" / "bin" / "python3"
    python3.parent.mkdir(parents=True)
    python3.touch()
    with pytest.raises(ToolMissingError, match="space in the path: name a link"):
        fastsurfer.python_of(script, "", {})
    link = tmp_path / "link"
    link.symlink_to(script.parent)
    assert fastsurfer.python_of(link / script.name, "", {}) == f"{link}/.venv/bin/python3 -s"


@pytest.mark.parametrize(
    ("shape", "edges", "vox_size", "side"),
    [
        ((176, 256, 256), (1, 1, 1), "1", 256),
        ((236, 295, 295), (0.8, 0.8, 0.8), "min", 295),
        ((236, 295, 295), (0.8, 0.8, 0.8), "1", 256),
        ((160, 240, 240), (1, 1, 1), "0.8", 300),
        ((100, 100, 100), (0.7, 0.7, 0.7), "0.7", 256),
        ((90, 128, 128), (2, 2, 2), "min", 256),
    ],
)
def test_memory_grows_with_the_conformed_image(shape, edges, vox_size, side):
    assert fastsurfer.memory_bytes(shape, edges, vox_size) == pytest.approx(5e9 * (side / 256) ** 3)
