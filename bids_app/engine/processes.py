"""Whether a process of this machine still runs: its number alone is not enough, numbers are given again."""

import os
from pathlib import Path

import psutil


def started(pid: int) -> int | None:
    """Return when a process of this machine began, in a unit of the system; None where there is no way to know.

    On Linux it is counted from the machine's own start, so that setting its clock changes nothing.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[19])  # the name, in parentheses, may hold spaces and more of them
    except (OSError, ValueError, IndexError):
        pass
    try:
        return round(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def is_running(pid: int, since: int) -> bool | None:
    """Return whether the process that began then runs; None where another user's process hides when it began."""
    if pid <= 0:  # a group of processes, which no lock names
        return False
    try:
        os.kill(pid, 0)  # knows other users' processes too, which the system may hide
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    now = started(pid)
    if now is None:
        return None
    if now != since:
        return False
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
