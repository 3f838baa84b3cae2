"""The public library: what it offers, what its import loads, and its examples."""

import doctest
import importlib
import subprocess
import sys

import pytest

from bids_app import qsm

STAGES = (
    "acquisition",
    "arguments",
    "background",
    "echoes",
    "field",
    "inversion",
    "masks",
    "null_space_trend",
    "options",
    "phase",
)


def test_every_public_name_is_there_and_described():
    assert len(set(qsm.__all__)) == len(qsm.__all__)
    for name in qsm.__all__:
        public = getattr(qsm, name)
        if callable(public) and not isinstance(public, type):
            assert public.__doc__, name


@pytest.mark.parametrize("family", ["background", "inversion", "relaxometry", "swi", "unwrap"])
def test_methods_are_called_by_name_in_their_family(family):
    package = getattr(qsm, family)
    assert [name for name in package.__all__ if callable(getattr(package, name))]


def test_the_import_loads_none_of_the_packages_of_the_command():
    code = "import sys, bids_app.qsm; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "scipy", "numba"} <= set(loaded)
    assert not {"nibabel", "nilearn", "bids", "pandas", "pydicom", "statsmodels", "jinja2", "dask", "ants"} & set(
        loaded
    )


@pytest.mark.parametrize("module", ["bids_app.qsm", *(f"bids_app.qsm.pipeline.{name}" for name in STAGES)])
def test_examples_give_what_they_print(module):
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
    assert result.attempted or module.endswith(("arguments", "echoes"))
