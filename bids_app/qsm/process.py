"""Settings of a process that runs kernels; a program calls :func:`prepare_process` once."""

import os

from bids_app.qsm.kernels.processor import portable_cpu

__all__ = ["portable_cpu", "prepare_process"]


def prepare_process() -> None:
    """Set how idle threads wait; call it before the first kernel runs.

    Idle threads of OpenMP sleep instead of spinning (``OMP_WAIT_POLICY``, unless it is set): a thread that spins takes
    the processor from the one that it waits for as soon as other programs run, which makes solvers of many short
    kernels ten times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP reads it when the first parallel kernel runs
