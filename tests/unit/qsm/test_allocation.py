"""A process keeps the memory that it frees, and gives it back on request."""

import subprocess
import sys

import pytest

_SCRIPT = """
import resource
import numpy as np
from bids_app.qsm.allocation import release_memory
from bids_app.qsm.process import prepare_process

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(9_000_000, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1])

prepare_process()
first, second, kept = faults(), faults(), resident()
release_memory()
print(first, second, kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is not glibc")
def test_freed_memory_is_used_again_until_it_is_released():
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    first, second, released = map(int, done.stdout.split())
    assert second < 0.1 * first  # pages are not cleared again
    assert released > 1000  # of four kilobytes
