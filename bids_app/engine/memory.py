"""How much memory there is, and how much a step and the programs that it started took at their peak."""

import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

_CLEAR = Path("/proc/self/clear_refs")
_CGROUPS = (  # folder, limit, used: version 2, version 1
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
#: Programs are looked at so often (s): what grows and ends in less is counted as far as it was seen.
_INTERVAL_S = 0.1
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
    """Return how many processes the kernel has killed for memory so far, None where it does not say."""
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
    """Return the peak resident memory of this process in bytes since :func:`reset_peak`, without its programs'."""
    peak = _peak_of("self")
    if peak is not None:
        return peak
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def _peak_of(process: int | str) -> int | None:
    """Return the peak resident memory of a process, None where the system does not say or the process has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _is_copy(child: psutil.Process) -> bool:
    """Whether a process still is its parent's copy, just before it becomes a program: its memory is the parent's."""
    return child.cmdline() == psutil.Process(child.ppid()).cmdline()


class PeakMemory:
    """Measures the peak memory of a block: this process and all programs that it has started, at one time.

    The kernel keeps a process's own peak; that of programs (ANTs, FastSurfer) is watched while they run.
    """

    def __init__(self) -> None:
        self._together = 0
        self._own: int | None = None  # once the block has ended
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        reset_peak()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._own = peak_memory()
        self._over.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """The peak so far."""
        return max(self._together, peak_memory() if self._own is None else self._own)

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._over.wait(_INTERVAL_S):
            programs = 0
            for child in process.children(recursive=True):
                with suppress(psutil.Error, OSError):
                    if not _is_copy(child):
                        programs += _peak_of(child.pid) or child.memory_info().rss
            if programs:
                self._together = max(self._together, programs + process.memory_info().rss)
