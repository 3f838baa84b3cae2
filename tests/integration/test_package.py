"""The wheel and the source archive hold all that the app needs, and work outside the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build both archives, install the wheel that the source archive gives into an empty folder, and return it."""
    folder = tmp_path_factory.mktemp("package")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT]
    subprocess.run(words, check=True, capture_output=True)  # the wheel is built from the source archive
    (wheel,) = (folder / "dist").glob("*.whl")
    assert list((folder / "dist").glob("*.tar.gz"))
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *(folder / "dist").iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder / "site", wheel]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "site"


def run(site, *words):
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=site.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_data_types_and_commands(installed):
    package = installed / "bids_app"
    for name in ("py.typed", "presets/default.toml", "heuristics/generic.py", "report/references.bib"):
        assert (package / name).is_file(), name
    for name in ("derivatives/products.toml", "report/templates/subject.html.j2", "phantom/__main__.py"):
        assert (package / name).is_file(), name
    assert (installed / "bin" / "qsm-bids-app").is_file() and (installed / "bin" / "qsm").is_file()


def test_the_installed_app_runs_outside_the_checkout(installed):
    assert __version__ in run(installed, "-m", "bids_app", "--version")
    assert "inversion" in run(installed, "-m", "bids_app", "--show-preset", "consensus")
    where = run(installed, "-c", "import bids_app; print(bids_app.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    said = run(installed, "-c", "from bids_app import qsm; print(*qsm.presets(), *sorted(qsm.INVERSIONS))")
    assert "default" in said and "rts" in said
