"""Compiled kernels load from a tree that cannot be written, and for a processor that is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.qsm.process import portable_cpu
from tests.helpers import ci_scripts

PACKAGE = Path(__file__).parents[4] / "bids_app"
CODE = """
from bids_app.qsm.process import prepare_process
from bids_app.qsm.kernels import dipole
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.grid import Grid
prepare_process()
dipole_kernel(Grid((4, 4, 4)))
from numba.core import config
stats = [kernel.stats for kernel in vars(dipole).values() if hasattr(kernel, "py_func")]
print(sum(sum(s.cache_hits.values()) for s in stats), sum(sum(s.cache_misses.values()) for s in stats), config.CPU_NAME)
"""


def run(tree, before="", **environment):
    env = {**os.environ, "PYTHONPATH": str(tree), "HOME": "/nonexistent", **environment}
    for name in {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "NUMBA_CPU_NAME"} - set(environment):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", before + CODE], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    hits, misses, cpu = done.stdout.split()
    return int(hits), int(misses), cpu


def copy_sources(folder):
    shutil.copytree(PACKAGE, folder / "bids_app", ignore=shutil.ignore_patterns("__pycache__", "_compiled"))
    return folder / "bids_app" / "qsm" / "kernels"


def test_kernels_for_another_processor_are_other_entries_of_one_cache(tmp_path):
    cache = copy_sources(tmp_path) / "__pycache__"
    assert run(tmp_path)[:2] == (0, 1)
    assert list(cache.glob("dipole.*.nbi"))
    files = {path.name for path in cache.iterdir()}
    assert run(tmp_path)[:2] == (1, 0)
    assert run(tmp_path, NUMBA_CPU_NAME="generic") == (0, 1, "generic")
    assert run(tmp_path)[:2] == (1, 0)
    assert files <= {path.name for path in cache.iterdir()}


def test_compiled_kernels_of_a_package_load_wherever_it_is_unpacked(tmp_path):
    built, installed = tmp_path / "built", tmp_path / "installed"
    copy_sources(built)
    run(built, NUMBA_CPU_NAME=portable_cpu(), NUMBA_CPU_FEATURES="")
    kernels = copy_sources(installed)
    collect = ci_scripts.load("compile_kernels").collect
    assert collect(built / "bids_app", [portable_cpu()], installed / "bids_app" / "_compiled") == 1
    os.utime(kernels / "dipole.py", (0, 0))
    assert run(installed)[:2] == (1, 0)
    assert not list(kernels.rglob("*.nb*"))
    (kernels / "dipole.py").write_text((kernels / "dipole.py").read_text() + "\n")
    assert run(installed)[:2] == (0, 1)  # another source: compiled, and saved next to it
    assert list(kernels.rglob("dipole.*.nbc"))


def test_kernels_of_a_package_that_cannot_be_written_are_kept_in_the_users_cache(tmp_path):
    kernels = copy_sources(tmp_path)
    forbidden = "import os; os.access = lambda path, mode: False"
    home = {"HOME": str(tmp_path / "home")}
    assert run(tmp_path, forbidden, **home)[:2] == (0, 1)
    assert not list(kernels.rglob("*.nb*"))
    assert list((tmp_path / "home").rglob("dipole.*.nbc"))
    assert run(tmp_path, forbidden, **home)[:2] == (1, 0)


HARMONIC = """
import hashlib
import numpy as np
from bids_app.qsm.solvers.laplace import LaplaceProblem, solve_laplace
inside = np.zeros((32, 30, 28), bool)
inside[3:-3, 4:-4, 2:-2] = True
surface = np.zeros_like(inside)
surface[1:-1, 1:-1, 1:-1] = True
values = np.random.default_rng(1).normal(size=inside.shape).astype(np.float32)
problem = LaplaceProblem(values, inside, surface & ~inside, (1.0, 1.2, 2.0))
print(hashlib.sha256(solve_laplace(problem, 500, 1e-4, 4)).hexdigest())
"""


def test_kernels_just_compiled_and_from_the_cache_give_the_same_bytes(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", HARMONIC]
    sums = [subprocess.run(command, env=environment, capture_output=True, check=True).stdout for _ in range(2)]
    assert sums[0] == sums[1]


def test_a_kernel_that_cannot_be_saved_is_used_all_the_same(tmp_path):
    copy_sources(tmp_path)
    # No byte may be written to any file, root or not.
    nothing = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    assert run(tmp_path, nothing, PYTHONDONTWRITEBYTECODE="1")[:2] == (0, 1)
    assert not list((tmp_path / "bids_app" / "qsm" / "kernels" / "__pycache__").glob("*.nb*"))


@pytest.mark.parametrize(
    ("machine", "system", "missing", "name"),
    [
        ("x86_64", "Linux", None, "x86-64-v3"),
        ("x86_64", "Linux", "avx2", "generic"),
        ("AMD64", "Windows", None, "x86-64-v3"),
        ("aarch64", "Linux", None, "generic"),
        ("arm64", "Darwin", None, "apple-m1"),
    ],
)
def test_portable_processor(machine, system, missing, name):
    features = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "avx512f"}
    assert portable_cpu(machine, system, features - {missing}) == name


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_the_caller_says_otherwise(given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    code = "import os, bids_app.qsm.process as p; p.prepare_process(); print(os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


UNTOUCHED = """
import os, sys, time
before = dict(os.environ)
import numpy, scipy.fft, scipy.ndimage, scipy.linalg, numba
from numba.core import caching
classes = [caching.CacheImpl, caching.CompileResultCacheImpl, caching.IndexDataCacheFile, caching.FunctionCache]
state = [dict(vars(kind)) for kind in classes]
locators = list(caching.CacheImpl._locator_classes)
settings = {name: value for name, value in vars(numba.config).items() if name.isupper()}
third = set(sys.modules)
start = time.process_time()
import bids_app.qsm
seconds = time.process_time() - start
assert [dict(vars(kind)) for kind in classes] == state
assert caching.CacheImpl._locator_classes == locators
assert {name: value for name, value in vars(numba.config).items() if name.isupper()} == settings
assert dict(os.environ) == before
new = {name.partition(".")[0] for name in set(sys.modules) - third}
print(*sorted(new - set(sys.stdlib_module_names)), f"{seconds:.3f}")
"""


def test_importing_the_library_changes_and_loads_nothing_outside_it():
    """Numba's classes and settings and the environment stay; the time is the processor's for our own modules."""
    done = subprocess.run([sys.executable, "-c", UNTOUCHED], capture_output=True, text=True, check=True)
    *packages, seconds = done.stdout.split()
    assert set(packages) <= {"bids_app", "scipy", "numba", "numpy"}
    assert float(seconds) < 1
