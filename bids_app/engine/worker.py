"""One job in a process of its own: threads, orphan watch, captured output."""

import io
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bids_app.engine.claims import follow_pulse
from bids_app.engine.events import Event
from bids_app.engine.execution import sentence_of
from bids_app.engine.job import Job
from bids_app.model.results import JobResult, StepFailure

#: Libraries that read their number of threads from the environment when they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    "TORCH_NUM_THREADS",
)


def work(job: Job, connection: Connection, printed: Path | None, name_of_pulse: str) -> None:
    """Do a job, send its events and at last its result; the entry point of a worker process.

    The pulse is that of the process that started this one. What is printed meanwhile goes to the file ``printed``, and
    where that is None where the command prints.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)  # programs that steps start end with this process
    keep_locks_private()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_killed_first()
    if printed is not None:
        _capture_output(printed)
    limit_threads(job.context.threads)
    follow_pulse(name_of_pulse)
    lock = threading.Lock()

    def send(kind: str, step: str, done: int, total: int) -> None:
        with lock:
            connection.send(Event(kind, job.name, step, done, total))

    try:
        result = job.do(send)
    except Exception as error:
        result = JobResult(
            job.name, job.subject, failures=[StepFailure("", sentence_of(error), traceback.format_exc())]
        )
    with lock:
        connection.send(result)
    connection.close()


def keep_locks_private() -> None:
    """Let libraries make locks that end with this process.

    numba makes a lock for processes. In a process of a server it is a semaphore with a name, and where this process is
    killed, Python warns of it at the command's end. In a forked process it has no name.
    """
    if "fork" in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method("fork", force=True)


def _be_killed_first() -> None:
    """Where memory runs out, let the kernel end a worker and not the command that waits for it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def limit_threads(count: int) -> None:
    """Let numba, FFTs, BLAS, ITK and programs that are started use this many threads."""
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    from threadpoolctl import threadpool_limits

    from bids_app.qsm.process import prepare_process
    from bids_app.qsm.threads import set_threads

    prepare_process()
    set_threads(count)
    threadpool_limits(count)


def _capture_output(path: Path) -> None:
    """Send what this process and its programs print to a file; its end is shown where the job fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # what is printed survives a kill


def _end_with_parent() -> None:
    """End this process and its programs at once when the parent has been killed."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
