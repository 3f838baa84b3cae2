"""Threads of the numerics: numba's current number rules the kernels and the FFTs alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


def set_threads(count: int) -> int:
    """Set the number of threads (at least 1, at most what numba was started with) and return it."""
    allowed = max(1, min(int(count), numba.config.NUMBA_NUM_THREADS))
    numba.set_num_threads(allowed)
    return allowed


@contextmanager
def threads(count: int) -> Iterator[int]:
    """Use ``count`` threads inside the block."""
    before = numba.get_num_threads()
    try:
        yield set_threads(count)
    finally:
        numba.set_num_threads(before)
