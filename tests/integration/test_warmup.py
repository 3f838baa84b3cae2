"""After the warm-up no kernel is compiled any more, whatever runs; nor with the kernels that came with the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bids_app
from tests.helpers import ci_scripts
from tests.integration.conftest import write_study


class Tree:
    """A copy of the package: tests beside this one compile others in the original."""

    def __init__(self, folder, package=Path(bids_app.__file__).parent, without=()):
        self.folder = folder
        shutil.copytree(package, folder / "bids_app", ignore=shutil.ignore_patterns(*without))
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
    copy = Tree(tmp_path_factory.mktemp("tree"), without=("_compiled",))
    assert "kernels compiled in" in copy.run("bids_app.qsm.warmup")
    copy.warm = copy.compiled()
    return copy


def test_the_warm_up_fills_the_cache_and_finds_it_filled(tree):
    assert len(tree.warm) > 50
    tree.run("bids_app.qsm.warmup")
    assert tree.compiled() == tree.warm


@pytest.fixture(scope="module")
def shipped(tree, tmp_path_factory):
    """Return the package as a binary wheel brings it: with the kernels of the warm-up in ``_compiled`` alone."""
    copy = Tree(tmp_path_factory.mktemp("shipped"), tree.folder / "bids_app", without=("__pycache__",))
    package, target = copy.folder / "bids_app", copy.folder / "bids_app" / "_compiled"
    assert ci_scripts.load("compile_kernels").collect(tree.folder / "bids_app", ["host"], target) > 50
    for path in package.rglob("*.py"):
        os.utime(path, (0, 0))
    return copy


@pytest.mark.parametrize("preset", ["default", "consensus", "fast", "tgv", "epi", "body", "highres7t"])
def test_no_preset_compiles_with_the_kernels_of_the_package(preset, shipped, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    shipped.run("bids_app", study, tmp_path / "out", "participant", "--preset", preset)
    assert shipped.compiled() == set()


def test_one_echo_compiles_nothing_with_the_kernels_of_the_package(shipped, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    for path in [p for p in (study / "sub-01/anat").iterdir() if "echo-1_" not in p.name]:
        path.unlink()
    for path in list((study / "sub-01/anat").iterdir()):
        path.rename(path.with_name(path.name.replace("echo-1_", "").replace("MEGRE", "T2starw")))
    (study / "MEGRE.json").rename(study / "T2starw.json")
    shipped.run("bids_app", study, tmp_path / "out", "participant")
    assert shipped.compiled() == set()
