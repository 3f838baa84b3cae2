"""Temporary files and folders: their names, and what is removed of processes that were killed."""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

_PART = ".part"
_FIELD = "~"  # between the parts of a temporary name; no host or BIDS name has it
#: A part file of another machine is left over when it has not grown for this long.
_ABANDONED_S = 86_400.0


def part_path(path: Path) -> Path:
    """Return a new name in a file's folder for what is written before it is moved there."""
    return path.with_name(_FIELD.join((f".{path.name}", *_mark())) + _PART)


def remove_parts(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder."""
    if folder.is_dir():
        for part in folder.glob(f".*{_PART}"):
            fields = part.name.removesuffix(_PART).split(_FIELD)
            if len(fields) == 4 and is_abandoned(part, fields[1], fields[2]):
                part.unlink(missing_ok=True)


def remove_quietly(files: Iterable[Path]) -> None:
    """Remove files; a folder in the place of one, or a file that nobody may remove, stays."""
    for file in files:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def scratch_path(work_dir: Path, name: str) -> Path:
    """Return a new name for a temporary file or folder, that ``remove_scratch`` knows when this process has ended."""
    return work_dir / _FIELD.join((f".{name}", *_mark(), "scratch"))


@contextmanager
def scratch_folder(work_dir: Path, name: str) -> Iterator[Path]:
    """Give a new folder for temporary files, and remove it afterwards."""
    folder = scratch_path(work_dir, name)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_scratch(work_dir: Path) -> None:
    """Remove the scratch files and folders of killed processes."""
    if work_dir.is_dir():
        for path in work_dir.glob(f".*{_FIELD}scratch"):
            fields = path.name.split(_FIELD)
            if len(fields) == 5 and is_abandoned(path, fields[1], fields[2]):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _mark() -> tuple[str, str, str]:
    # Machine, process and random number: unique among all nodes that write to one file system.
    return this_machine(), str(os.getpid()), secrets.token_hex(4)


def this_machine() -> str:
    """Return what names the processes that this one can see: the host, and the container where it hides the others'.

    Containers of one host may have its name and still number their processes each for itself: what another one writes
    at this moment would look as if nobody lived who writes it.
    """
    try:
        return f"{socket.gethostname()}+{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # another system than Linux
        return socket.gethostname()


def is_abandoned(path: Path, host: str, pid: str) -> bool:
    """Return whether a temporary file or folder was left by a process that lives no longer."""
    if host == this_machine() and pid.isdigit():
        return not _is_alive(int(pid))
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_S
    except OSError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
