"""After the warm-up no kernel is compiled any more, whatever runs."""

import subprocess
import sys
from pathlib import Path

import pytest

import bids_app
from bids_app.cli.command import main
from tests.integration.conftest import write_study


def compiled():
    """Return the compiled kernels in numba's cache beside the source."""
    root = Path(bids_app.__file__).parent / "qsm"
    return {(path.name, path.stat().st_mtime_ns) for path in root.rglob("__pycache__/*.nbc")}


@pytest.fixture(scope="module")
def warm():
    done = subprocess.run(
        [sys.executable, "-m", "bids_app.qsm.warmup"], capture_output=True, text=True, check=True, timeout=500
    )
    assert "kernels compiled in" in done.stdout
    return compiled()


def test_the_warm_up_fills_the_cache_and_finds_it_filled(warm):
    assert len(warm) > 50
    subprocess.run([sys.executable, "-m", "bids_app.qsm.warmup"], check=True, timeout=500)
    assert compiled() == warm


@pytest.mark.parametrize("preset", ["default", "consensus", "fast", "tgv", "epi", "body", "highres7t"])
def test_no_preset_compiles_after_the_warm_up(preset, warm, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    assert main([str(study), str(tmp_path / "out"), "participant", "--preset", preset]) == 0
    assert compiled() == warm


def test_one_echo_compiles_nothing_after_the_warm_up(warm, tmp_path):
    study = write_study(tmp_path / "bids", subjects=("01",))
    for path in [p for p in (study / "sub-01/anat").iterdir() if "echo-1_" not in p.name]:
        path.unlink()
    for path in list((study / "sub-01/anat").iterdir()):
        path.rename(path.with_name(path.name.replace("echo-1_", "").replace("MEGRE", "T2starw")))
    (study / "MEGRE.json").rename(study / "T2starw.json")
    assert main([str(study), str(tmp_path / "out"), "participant"]) == 0
    assert compiled() == warm
