"""Locks: files that say who writes, so that nobody else does, and that a killed process does not leave for ever.

A lock is made by one call that fails where the file is there already. A lock of this machine is stale when its process
has ended. Of another machine's process only its pulse is seen, a file that it touches every few seconds: the lock is
stale when that file stays as it is for a minute while we watch it. No clock is compared with another machine's.
"""

import getpass
import hashlib
import json
import os
import secrets
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.presence import read_regular_file
from bids_app.derivatives.scratch import this_machine
from bids_app.engine.processes import is_running, started
from bids_app.errors import QsmAppError

#: A process shows so often that it lives.
BEAT_S = 10.0
#: A pulse that stands still for so long, while it is watched, is that of a process that has ended.
STALE_S = 60.0
_LOOK_S = 0.5
#: A marker of a takeover that is older was left by a killed process.
_TAKEOVER_S = 60.0
_PULSE = ".pulse"
#: So long after its last beat the pulse of another machine is removed; a process that lives makes it again.
_ABANDONED_S = 86_400.0
_TAKEOVER = ".takeover"
#: So much of a command line is kept: thousands of participants may be listed in it.
_COMMAND_LENGTH = 400
#: No lock is larger.
_MAX_BYTES = 65_536


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: what another command needs to find and to name the process."""

    token: str  # random: no two holders have the same
    machine: str
    pid: int
    started: int  # of the process, as ``processes.started`` gives it
    host: str
    user: str
    since: str  # ISO 8601, UTC
    command: str
    pulse: str = ""  # name of the file that shows that the process lives, in the folder of the lock
    settings: str = ""  # digest of what the command makes: several may share a lock for the same work

    def __str__(self) -> str:
        return f"{self.user} on {self.host}, process {self.pid}, since {self.since}"

    def to_bytes(self) -> bytes:
        """Return the content of the lock."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


def this_process(settings: str = "", pulse: str = "") -> Holder:
    """Return this process as a holder of locks."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = f"user {os.getuid()}"
    return Holder(
        token=secrets.token_hex(8),
        machine=this_machine(),
        pid=os.getpid(),
        started=started(os.getpid()) or 0,
        host=socket.gethostname(),
        user=user,
        since=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        command=shlex.join(sys.argv)[:_COMMAND_LENGTH],
        pulse=pulse,
        settings=settings,
    )


@contextmanager
def pulse(folders: Sequence[Path], beat: float = BEAT_S) -> Iterator[str]:
    """Show that this process lives by a file in each folder, and give the file's name; it goes at the end."""
    name = f"{secrets.token_hex(8)}{_PULSE}"
    paths, ended = [folder / name for folder in folders], threading.Event()
    content = this_process(pulse=name).to_bytes()
    for path in paths:
        _write_new(path, content)

    def show() -> None:
        while not ended.wait(beat):
            for path in paths:
                _touch(path, content)

    thread = threading.Thread(target=show, name="pulse", daemon=True)
    thread.start()
    try:
        yield name
    finally:
        ended.set()
        thread.join()
        for path in paths:
            _remove(path)


class Lock:
    """One lock of this process.

    Parameters
    ----------
    path : Path
        The lock's file.
    holder : Holder
        This process.
    """

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self._content = path, replace(holder, token=secrets.token_hex(8)).to_bytes()

    def acquire(self) -> "Holder | None":
        """Take the lock, from a process that has ended too; return None, or who holds it.

        Raises
        ------
        QsmAppError
            If it cannot be written.
        """
        while not _write_new(self.path, self._content):
            content = read_lock(self.path)
            if content is None:  # given back meanwhile
                continue
            other = holder_of(content)
            if _is_alive(self.path, content, other):
                if read_lock(self.path) == content:
                    return other or _UNKNOWN
            elif _exchange(self.path, content, self._content):
                return None
        return None

    def is_held(self) -> bool:
        """Return whether the lock is still this process's: another may have taken it for that of an ended one."""
        return read_lock(self.path) == self._content

    def release(self) -> None:
        """Give the lock back, unless it is another's by now."""
        if self.is_held():
            _remove(self.path)


def _touch(path: Path, content: bytes) -> None:
    with suppress(OSError, QsmAppError):  # the next beat tries again
        try:
            os.utime(path)
        except FileNotFoundError:
            _write_new(path, content)


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file that is not there yet; return whether that was so."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
            except OSError:  # the disk is full
                _remove(path)
                raise
        except FileNotFoundError:  # the folder was empty, and another command has just removed it
            continue
        except FileExistsError:
            if path.parent.is_dir():
                return False
            raise QsmAppError(f"{path.parent} is no folder; remove it") from None
        except OSError as error:
            raise QsmAppError(f"{path} cannot be written: {error.strerror or error}") from error
        return True


#: Who holds a lock that cannot be read.
_UNKNOWN = Holder("", "", 0, 0, "an unknown machine", "somebody", "an unknown time", "")


def holder_of(content: bytes) -> Holder | None:
    """Return who holds a lock with this content; None where it is no lock's."""
    try:
        values = json.loads(content)
        known: Mapping[str, object] = {name: values[name] for name in Holder.__dataclass_fields__}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    kinds = {name: int if name in ("pid", "started") else str for name in known}
    if not all(type(value) is kinds[name] for name, value in known.items()):
        return None
    return Holder(**known)  # type: ignore[arg-type]


def remove_stale(folder: Path) -> None:
    """Remove locks and pulses that ended processes of this machine have left, and pulses that stand still for a day."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            content = read_lock(path)
            holder = holder_of(content) if content else None
            is_ours = holder is not None and holder.machine == this_machine()
            if content and holder and is_ours and is_running(holder.pid, holder.started) is False:
                _exchange(path, content, None)
            elif not is_ours and path.suffix == _PULSE and abs(time.time() - path.stat().st_mtime) > _ABANDONED_S:
                _remove(path)


#: Pulses that have been watched and stood still, with their states: a command holds the locks of all its jobs.
_STOPPED: set[tuple[Path, tuple[int, int] | None]] = set()


def _is_alive(path: Path, content: bytes, holder: Holder | None) -> bool:
    """Return whether a lock's holder works; that of another machine is watched until it shows that, or for a minute."""
    if holder is not None and holder.machine == this_machine():
        running = is_running(holder.pid, holder.started)
        if running is not None:
            return running
    watched = path.with_name(Path(holder.pulse).name) if holder is not None and holder.pulse else path
    first, end = _state(watched), time.monotonic() + STALE_S
    while time.monotonic() < end and (watched, first) not in _STOPPED:
        if read_lock(path) != content:
            return True  # in other hands, or given back: look again
        now = _state(watched)
        if now is not None and first is not None and now != first:
            return True
        first = first or now
        time.sleep(_LOOK_S)
    _STOPPED.add((watched, first))
    return False


def _exchange(path: Path, stale: bytes, content: bytes | None) -> bool:
    """Put a lock in the place of a stale one (None: nothing); of several that try to, one succeeds."""
    marker = path.with_name(f"{path.name}.{hashlib.blake2b(stale, digest_size=8).hexdigest()}{_TAKEOVER}")
    try:
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        with suppress(OSError):
            if abs(time.time() - marker.stat().st_mtime) > _TAKEOVER_S:
                marker.unlink()
        time.sleep(_LOOK_S)
        return False
    except OSError as error:
        raise QsmAppError(f"{marker} cannot be written: {error.strerror or error}") from error
    try:
        if read_lock(path) != stale:
            return False
        if content is None:
            _remove(path)
        else:
            write_bytes(path, content)
        return True
    finally:
        _remove(marker)


def read_lock(path: Path) -> bytes | None:
    """Return the content of a lock, empty where it cannot be read; None where there is nothing."""
    try:
        return read_regular_file(path, _MAX_BYTES)
    except FileNotFoundError:
        return b"" if path.is_symlink() else None
    except OSError:
        return b""


def _state(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is touched; opening it asks the server of a shared disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        state = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return state.st_mtime_ns, state.st_ino


def _remove(path: Path) -> None:
    """Remove a file, and its folder where that is empty then."""
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()
