"""The wheel and the source archive hold all that the app needs, and work outside the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app import __version__
from tests.helpers import ci_scripts

ROOT = Path(__file__).parents[2]
DIPOLE = """
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.dipole import fill_dipole
from bids_app.qsm.operators.dipole import dipole_kernel
dipole_kernel(Grid((4, 4, 4)))
print(sum(fill_dipole.stats.cache_hits.values()), sum(fill_dipole.stats.cache_misses.values()))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build both archives, install the wheel that the source archive gives into an empty folder, and return it."""
    folder = tmp_path_factory.mktemp("package")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT]
    subprocess.run(words, check=True, capture_output=True)  # the wheel is built from the source archive
    (wheel,) = (folder / "dist").glob("*-py3-none-any.whl")
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


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Build a wheel with compiled kernels, install it into an empty folder, and return both."""
    folder = tmp_path_factory.mktemp("compiled")
    run(ROOT, "-c", DIPOLE)  # one kernel at least; the wheels of a release have all of them
    kernels = folder / "kernels"
    assert ci_scripts.load("compile_kernels").collect(ROOT / "bids_app", ["host"], kernels)
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT]
    environment = os.environ | {"QSM_BIDS_APP_COMPILED": str(kernels)}
    subprocess.run(words, check=True, capture_output=True, env=environment)
    (wheel,) = (folder / "dist").glob("*.whl")
    words = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder / "site", wheel]
    subprocess.run(words, check=True, capture_output=True)
    return wheel, folder / "site"


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


def test_a_wheel_with_kernels_names_its_python_and_compiles_nothing(compiled):
    wheel, site = compiled
    assert f"-cp3{sys.version_info[1]}-none-" in wheel.name and not wheel.name.endswith("any.whl")
    assert run(site, "-c", DIPOLE).split() == ["1", "0"]
    assert not list((site / "bids_app").rglob("__pycache__/*.nb*"))


def test_a_wheel_without_the_kernels_that_it_should_have_is_not_built(tmp_path):
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT]
    environment = os.environ | {"QSM_BIDS_APP_COMPILED": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0 and f"{tmp_path} has no kernels for this Python" in done.stdout + done.stderr
