"""Settings of a process that runs kernels; a program calls :func:`prepare_process` once, importing sets nothing."""

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numba

#: Parameters of the C library's ``mallopt``, and what they are set to: no block of memory is mapped by itself, and half
#: a gigabyte that is free at the end of the heap is kept.
_MALLOC = {-4: 0, -1: 1 << 29, -2: 1 << 26}
#: What x86-64-v3 adds, as the names in /proc/cpuinfo.
_V3_FLAGS = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


def prepare_process() -> None:
    """Set how idle threads wait and which processor kernels are compiled for; call it before the first kernel runs.

    Idle threads of OpenMP sleep instead of spinning (``OMP_WAIT_POLICY``, unless it is set): a thread that spins takes
    the processor from the one that it waits for as soon as other programs run, which makes solvers of many short
    kernels ten times slower.

    ``QSM_BIDS_APP_PORTABLE_KERNELS=1`` (set in container images) compiles for a named processor instead of the one at
    hand, so that a cache made on the build machine serves every machine: ``x86-64-v3`` where the processor has AVX2
    (every server since 2013), the plain instruction set elsewhere. A processor that ``NUMBA_CPU_NAME`` names stays.

    Memory that was freed is used again (:func:`_keep_freed_memory`) until :func:`release_memory`.
    """
    _keep_freed_memory()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP reads it when the first parallel kernel runs
    if os.environ.get("QSM_BIDS_APP_PORTABLE_KERNELS") == "1" and not numba.config.CPU_NAME:
        numba.config.CPU_NAME = portable_cpu(_processor_flags())
        numba.config.CPU_FEATURES = ""


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


def portable_cpu(flags: Sequence[str]) -> str:
    """Return the processor name to compile for, given the flags of /proc/cpuinfo."""
    return "x86-64-v3" if set(flags) >= _V3_FLAGS else "generic"


def _processor_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    return next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
