"""Threads of the numerics: numba's current number rules the kernels and the FFTs alike."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


def set_threads(count: int) -> int:
    """Set the number of threads that kernels and transforms use.

    Parameters
    ----------
    count : int
        Wanted number; at least 1 and at most what numba was started with is set.

    Returns
    -------
    int
        The number that was set.
    """
    allowed = max(1, min(int(count), numba.config.NUMBA_NUM_THREADS))
    numba.set_num_threads(allowed)
    return allowed


def current_threads() -> int:
    """Return the number of threads that kernels and transforms use."""
    return numba.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[int]:
    """Use a number of threads inside the block, and the former one after it.

    Parameters
    ----------
    count : int
        Wanted number, as for :func:`set_threads`.

    Yields
    ------
    int
        The number that was set.
    """
    before = current_threads()
    try:
        yield set_threads(count)
    finally:
        numba.set_num_threads(before)
