"""Which processor kernels are compiled for.

numba decides it when the first function is decorated, which is while modules are imported: a later change of its
settings names another processor than the one that it compiles for.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numba

#: What x86-64-v3 adds, as the names in /proc/cpuinfo.
_V3_FLAGS = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


@cache
def choose_processor() -> None:
    """Let numba compile for a named processor where ``QSM_BIDS_APP_PORTABLE_KERNELS=1`` (set in container images).

    A cache made on the build machine then serves every machine: ``x86-64-v3`` where the processor has AVX2 (every
    server since 2013), the plain instruction set elsewhere. A processor that ``NUMBA_CPU_NAME`` names stays.
    """
    if os.environ.get("QSM_BIDS_APP_PORTABLE_KERNELS") == "1" and not numba.config.CPU_NAME:
        numba.config.CPU_NAME = portable_cpu(_processor_flags())
        numba.config.CPU_FEATURES = ""


def portable_cpu(flags: Sequence[str]) -> str:
    """Return the processor name to compile for, given the flags of /proc/cpuinfo."""
    return "x86-64-v3" if set(flags) >= _V3_FLAGS else "generic"


def _processor_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    return next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
