"""Settings of a process that runs kernels; a program calls :func:`prepare_process` once, importing sets nothing."""

import os
import platform
from collections.abc import Collection

from numba.core.codegen import get_host_cpu_features

from bids_app.qsm.allocation import keep_freed_memory

#: The names of LLVM for what x86-64-v3 adds.
_V3_FEATURES = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}


def prepare_process() -> None:
    """Set how idle threads wait; call it before the first kernel runs.

    Idle threads of OpenMP sleep instead of spinning (``OMP_WAIT_POLICY``, unless it is set): a thread that spins takes
    the processor from the one that it waits for as soon as other programs run, which makes solvers of many short
    kernels ten times slower.

    Memory that was freed is used again (:mod:`bids_app.qsm.allocation`).
    """
    keep_freed_memory()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP reads it when the first parallel kernel runs


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
