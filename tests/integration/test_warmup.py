"""After the warm-up no kernel is compiled any more, whatever runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bids_app
from tests.integration.conftest import write_study


class Tree:
    """A copy of the package with its compiled kernels: tests beside this one compile others in the original."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(Path(bids_app.__file__).parent, folder / "bids_app")
        self.warm = {}

    def run(self, *words):
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        words = [sys.executable, "-m", *map(str, words)]
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def compiled(self):
        """Return the compiled kernels in numba's cache beside the source."""
        kernels = (self.folder / "bids_app" / "qsm").rglob("__pycache__/*.nbc")
        return {(path.name, path.stat().st_mtime_ns) for path in kernels}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    found = Tree(tmp_path_factory.mktemp("tree"))
    assert "kernels compiled in" in found.run("bids_app.qsm.warmup")
    found.warm = found.compiled()
    return found


def test_the_warm_up_fills_the_cache_and_finds_it_filled(tree):
    assert len(tree.warm) > 50
    tree.run("bids_app.qsm.warmup")
    assert tree.compiled() == tree.warm


@pytest.mark.parametrize("preset", ["default", "consensus", "fast", "tgv", "epi", "body", "highres7t"])
def test_no_preset_compiles_after_the_warm_up(preset, tree, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    tree.run("bids_app", study, tmp_path / "out", "participant", "--preset", preset)
    assert tree.compiled() == tree.warm


def test_one_echo_compiles_nothing_after_the_warm_up(tree, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    for path in [p for p in (study / "sub-01/anat").iterdir() if "echo-1_" not in p.name]:
        path.unlink()
    for path in list((study / "sub-01/anat").iterdir()):
        path.rename(path.with_name(path.name.replace("echo-1_", "").replace("MEGRE", "T2starw")))
    (study / "MEGRE.json").rename(study / "T2starw.json")
    tree.run("bids_app", study, tmp_path / "out", "participant")
    assert tree.compiled() == tree.warm
