"""Whether a file's content is here: DataLad and Git LFS leave links and pointers, and disks leave stranger things."""

import json
import os
import re
import shlex
import stat
from pathlib import Path

_POINTERS = (b"/annex/", b"version https://git-lfs")
#: No pointer is longer.
_POINTER_BYTES = 512
#: No JSON file of ours is larger.
_MAX_JSON_BYTES = 1 << 28
#: Files that operating systems and editors leave in folders of data.
_SYSTEM = re.compile(
    r"\.|__MACOSX$|Thumbs\.db$|desktop\.ini$|\$RECYCLE\.BIN$|System Volume Information$|~\$", re.IGNORECASE
)


def is_system_file(name: str) -> bool:
    """Return whether a file or folder is hidden or an operating system's, and none of the data."""
    return bool(_SYSTEM.match(name))


def absence(path: Path) -> str:
    """Return the sentence that says why a file cannot be read, without its name; empty where it can.

    Examples
    --------
    >>> from pathlib import Path
    >>> absence(Path("/nowhere"))
    'is not there'
    """
    try:
        state = path.stat()
    except OSError:
        if path.is_symlink():
            target = str(path.readlink())
            if "annex/objects" in target or ".git/annex" in target:
                return f"its content is not here; fetch it: datalad get {shlex.quote(str(path))}"
            return f"is a link to {target}, which is not there; copy the file itself"
        return "is not there"
    if not stat.S_ISREG(state.st_mode):
        return "is no regular file; remove it"
    if state.st_size == 0:
        return 'is empty (0 bytes); copy it again (DataLad datasets: "datalad get")'
    if state.st_size < _POINTER_BYTES:
        try:
            content = path.read_bytes()
        except OSError as error:
            return f"cannot be read ({error.strerror}); change its rights"
        if content.startswith(_POINTERS):
            fetch = "git lfs pull" if b"lfs" in content else f"datalad get {shlex.quote(str(path))}"
            return f"is a pointer, its content is not here; fetch it: {fetch}"
    elif not os.access(path, os.R_OK):
        return "cannot be read; change its rights"
    return ""


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        If there is none, it is larger, or it is anything else: a pipe is not waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > max_bytes:
            raise OSError(f"{path} is no regular file of at most {max_bytes} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_json_object(path: Path) -> dict[str, object]:
    """Return what a JSON file of ours holds; empty where there is none, it is damaged, or it holds anything else."""
    try:
        content = json.loads(read_regular_file(path, _MAX_JSON_BYTES).decode())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
