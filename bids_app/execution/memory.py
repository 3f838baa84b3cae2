"""How much memory there is, and how much a step took at its peak."""

import sys
from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CGROUPS = (  # folder, limit, used: version 2, version 1
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"), Path("/proc/vmstat"))


def available_memory() -> int:
    """Return the bytes that processes can still take, by the machine and by the container's or job's limit."""
    free = int(psutil.virtual_memory().available)
    for folder, limit, used in _CGROUPS:
        try:
            taken = int((folder / used).read_text()) - _reclaimable(folder)
            free = min(free, max(int((folder / limit).read_text()) - taken, 0))
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue
    return free


def _reclaimable(folder: Path) -> int:
    """Return the bytes of cached files, which count as used and which the kernel gives back when asked."""
    lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
    values = {name: int(value) for name, value in lines}
    return values.get("total_inactive_file", values.get("inactive_file", 0))


def killed_for_memory() -> int | None:
    """Return how many processes the kernel has killed for memory so far, None where it does not tell."""
    for path in _KILLS:
        try:
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        except (OSError, ValueError):
            continue
    return None


def reset_peak() -> None:
    """Start a new measurement of this process's peak (Linux; elsewhere the peak is that of its whole life)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return


def peak_memory() -> int:
    """Return the peak resident memory of this process in bytes since :func:`reset_peak`."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
