"""Variables are set before the libraries that read them are loaded, and the user's own stay."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from {module} import main
try:
    main(["--version"])
except SystemExit:
    pass
print("numpy" in sys.modules, os.environ["NUMPY_MADVISE_HUGEPAGE"])
"""


@pytest.mark.parametrize("module", ["bids_app.__main__", "bids_app.cli.stages"])
@pytest.mark.parametrize(("given", "expected"), [(None, "0"), ("1", "1")])
def test_numpy_is_told_in_time_to_take_small_pages(module, given, expected):
    environment = {name: value for name, value in os.environ.items() if name != "NUMPY_MADVISE_HUGEPAGE"}
    if given is not None:
        environment["NUMPY_MADVISE_HUGEPAGE"] = given
    line = [sys.executable, "-c", CODE.format(module=module)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {expected}"
