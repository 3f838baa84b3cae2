"""Peak memory of a block: this process with the programs that it starts, and nothing of what was before."""

import mmap
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from bids_app.engine.memory import PeakMemory

MB = 1_000_000
#: A program that starts another, which fills memory for a moment.
HUNGRY = "import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
INNER = "import time; a = bytearray(150_000_000); time.sleep(0.4)"


def test_programs_count_and_programs_of_programs():
    with PeakMemory() as before:
        time.sleep(0.5)  # long enough to see what other tests have left running
    with PeakMemory() as peak:
        subprocess.run([sys.executable, "-c", HUNGRY.format(inner=INNER)], check=True)
    assert 150 * MB < peak.bytes - before.bytes < 260 * MB


def test_a_copy_that_is_not_a_program_yet_does_not_count():
    with PeakMemory() as before:
        time.sleep(0.5)
    ballast = np.ones(200 * MB // 8)
    with PeakMemory() as peak:
        child = os.fork()
        if child == 0:
            time.sleep(0.5)
            os._exit(0)
        os.waitpid(child, 0)
    assert peak.bytes - before.bytes < 1.5 * ballast.nbytes


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be set back on Linux alone")
def test_what_was_before_does_not_count():
    with PeakMemory() as empty:
        pass
    with PeakMemory() as peak:
        pages = mmap.mmap(-1, 200 * MB)  # new pages: an array may lie in memory that an earlier test has freed
        np.frombuffer(pages, np.uint8).fill(1)
        pages.close()
    with PeakMemory() as after:
        pass
    assert peak.bytes - empty.bytes > 190 * MB
    assert after.bytes - empty.bytes < 50 * MB


def test_an_error_passes_and_the_measurement_stays():
    with pytest.raises(ValueError, match="mine"), PeakMemory() as peak:
        raise ValueError("mine")
    assert peak.bytes > 10 * MB
