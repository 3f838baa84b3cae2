"""Loaded by every Python process that a test starts: notes each file that a step opens without having declared it.

The files of a step are its inputs and those of its own scratch folder. Only the folders of the dataset, of the outputs
and of temporary files are watched: libraries and their data lie elsewhere.
"""

import os
import sys
import tempfile
import threading
from pathlib import Path

_LOG = os.environ["QSM_AUDIT_LOG"]
_EXECUTE = str(Path("bids_app", "engine", "execution.py"))
_TEMPORARY = tempfile.gettempdir()  # found here: to find it opens a file


def _running_step():
    """Return what ``execute`` knows while it is in the function of a step, in whatever thread the file is opened."""
    frame, inner = sys._current_frames().get(threading.main_thread().ident), None
    while frame is not None:
        if frame.f_code.co_name == "execute" and frame.f_code.co_filename.endswith(_EXECUTE):
            known = frame.f_locals
            step = known.get("step")
            return known if step is not None and inner is getattr(step.function, "__code__", None) else None
        frame, inner = frame.f_back, frame.f_code
    return None


def _is_undeclared(path, known):
    context, scratch = known["context"], known["scratch"]
    if path in known["inputs"].values() or path == Path(_LOG) or path.is_relative_to(scratch):
        return False
    folders = (context.bids_dir, context.output_dir, context.work_dir, _TEMPORARY)
    return any(path.is_relative_to(folder) for folder in folders)


def _note(event, arguments):
    is_file = event == "open" and isinstance(arguments[0], str | bytes | os.PathLike)
    known = _running_step() if is_file and "bids_app.engine.execution" in sys.modules else None
    if known is None:
        return
    path = Path(os.fsdecode(arguments[0])).absolute()
    if _is_undeclared(path, known):
        with Path(_LOG).open("a") as log:
            log.write(f"{known['step'].name} of {known['record'].basename}: {path}\n")


sys.addaudithook(_note)
