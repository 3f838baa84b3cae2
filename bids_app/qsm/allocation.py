"""How the C library allocates memory: what is freed is used again, until it is released."""

import ctypes
from collections.abc import Callable
from typing import cast

#: Parameters of the C library's ``mallopt``, and what they are set to: no block of memory is mapped by itself, and half
#: a gigabyte that is free at the end of the heap is kept.
_SETTINGS = {-4: 0, -1: 1 << 29, -2: 1 << 26, -8: 1}


def keep_freed_memory() -> None:
    """Let the C library (glibc) use freed memory again.

    By itself it gives each large array back to the system at once. The next array then gets new pages, which the system
    has to clear.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        for parameter, value in _SETTINGS.items():
            mallopt(parameter, value)


def release_memory() -> None:
    """Give freed memory back to the system, as between two steps that need different amounts."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _of_libc(name: str) -> Callable[..., int] | None:
    """Return a function of the C library, or None where it has none of that name (musl, macOS)."""
    try:
        return cast("Callable[..., int]", getattr(ctypes.CDLL(None), name))
    except (AttributeError, OSError, TypeError):
        return None
