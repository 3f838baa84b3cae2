"""The audit of what steps open (``audit/sitecustomize.py``): switched on for processes that tests start, and read."""

import os
import tempfile
from pathlib import Path

_LOG = "QSM_AUDIT_LOG"


def start_audit():
    """Let every Python process that is started from now on note what its steps open without having declared it."""
    folder = Path(tempfile.mkdtemp(prefix="qsm-audit-"))
    os.environ[_LOG] = str(folder / "opened.txt")
    audit = str(Path(__file__).with_name("audit"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [audit, os.environ.get("PYTHONPATH", "")]))


def take_undeclared():
    """Return what steps have opened undeclared since the last call, one line each."""
    log = Path(os.environ[_LOG])
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines
