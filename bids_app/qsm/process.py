"""Settings of a process that runs kernels; a program calls :func:`prepare_process` once, importing sets nothing."""

import ctypes
import os
import platform
from collections.abc import Callable, Collection
from typing import cast

from numba.core.codegen import get_host_cpu_features

#: The names of LLVM for what x86-64-v3 adds.
_V3_FEATURES = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
#: Parameters of the C library's ``mallopt``, and what they are set to: no block of memory is mapped by itself, and half
#: a gigabyte that is free at the end of the heap is kept.
_MALLOC = {-4: 0, -1: 1 << 29, -2: 1 << 26}


def prepare_process() -> None:
    """Set how idle threads wait and how memory is kept; call it before the first kernel runs.

    Idle threads of OpenMP sleep instead of spinning (``OMP_WAIT_POLICY``, unless it is set): a thread that spins takes
    the processor from the one that it waits for as soon as other programs run, which makes solvers of many short
    kernels ten times slower.

    Memory that was freed is used again (:func:`_keep_freed_memory`) until :func:`release_memory`.
    """
    _keep_freed_memory()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP reads it when the first parallel kernel runs


def _keep_freed_memory() -> None:
    """Let the C library (glibc) use freed memory again.

    By itself it gives each large array back to the system at once. The next array then gets new pages, which the system
    has to clear: a third of the processor time of the whole pipeline.
    """
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        for parameter, value in _MALLOC.items():
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


def portable_cpu(
    machine: str = platform.machine(), system: str = platform.system(), features: Collection[str] | None = None
) -> str:
    """Return the processor whose kernels run on this machine and on most others.

    Parameters
    ----------
    machine, system : str
        As :func:`platform.machine` and :func:`platform.system` name them.
    features : collection of str, optional
        The processor's features as LLVM names them; LLVM is asked if they are not given.

    Returns
    -------
    str
        ``x86-64-v3`` where the processor has AVX2 (servers since 2013), ``apple-m1`` on a Mac of today, else
        ``generic``: the instructions that every processor of the kind has.
    """
    if machine.lower() in {"x86_64", "amd64"}:
        if features is None:
            features = [name[1:] for name in get_host_cpu_features().split(",") if name.startswith("+")]
        return "x86-64-v3" if set(features) >= _V3_FEATURES else "generic"
    return "apple-m1" if (machine, system) == ("arm64", "Darwin") else "generic"
