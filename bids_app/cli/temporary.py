"""Where temporary files lie."""

import atexit
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bids_app.errors import InputRefusedError


def ensure_temporary_folder(work_dir: Path) -> None:
    """Let temporary files lie in the work folder where the system has no folder for them (read-only containers).

    Folders that were made for that and are empty at the end of the process are removed.

    Raises
    ------
    InputRefusedError
        If the work folder cannot be written either.
    """
    try:
        tempfile.gettempdir()
        return
    except FileNotFoundError:
        folder = work_dir / "tmp"
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"{folder} cannot be written ({error.strerror}), and the system has no folder for temporary files"
        raise InputRefusedError([f"{what}; choose another output folder or --work-dir"]) from error
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    atexit.register(_remove_empty, made)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # something is in it
            folder.rmdir()
