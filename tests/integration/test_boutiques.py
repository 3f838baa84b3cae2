"""Boutiques runs the command by its descriptor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("boutiques")
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def bosh(*arguments):
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = [BIN / "bosh", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def invocation(study, tmp_path):
    def make(**more):
        path = tmp_path / "invocation.json"
        content = {"bids_dir": str(study), "output_dir": str(tmp_path / "out"), "levels": ["participant"]}
        path.write_text(json.dumps(content | more))
        return path

    return make


def test_simulate_spells_the_command(invocation):
    path = invocation(
        participant_label=["01", "02"],
        set=["inversion.method=tkd", "mask.two_pass=false"],
        omp_nthreads=2,
        job_option=["--qos=long", "--mail-type=END"],
    )
    done = bosh("exec", "simulate", "-i", path, ROOT / "boutiques.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--participant-label 01 02" in done.stdout
    assert "--set=inversion.method=tkd --set=mask.two_pass=false" in done.stdout
    assert "--omp-nthreads=2" in done.stdout
    assert "--job-option=--qos=long --job-option=--mail-type=END" in done.stdout


def test_the_form_of_a_bids_app_makes_the_folder(study, tmp_path):
    path, out = tmp_path / "invocation.json", tmp_path / "out"
    path.write_text(
        json.dumps({"bids_dir": str(study), "output_dir": str(out), "levels": ["participant"], "dry_run": True})
    )
    done = bosh("exec", "launch", "--no-container", ROOT / "boutiques-bids.json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.is_dir()


@pytest.mark.parametrize(("more", "code"), [({"dry_run": True}, 0), ({"set": ["inversion.tkd.threshold=9"]}, 2)])
def test_launch_gives_the_exit_code_through(invocation, more, code):
    done = bosh("exec", "launch", "--no-container", ROOT / "boutiques.json", invocation(**more))
    assert done.returncode == code, done.stdout + done.stderr


def test_launch_makes_maps(invocation, tmp_path):
    path = invocation(participant_label=["01"], preset="fast")
    done = bosh("exec", "launch", "--no-container", ROOT / "boutiques.json", path)
    assert done.returncode == 0
    assert list((tmp_path / "out").rglob("sub-01_Chimap.nii.gz")), done.stdout + done.stderr
