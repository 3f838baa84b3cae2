"""The server that workers are forked from (Linux): it loads libraries once, so that a job starts in milliseconds.

It needs about as long to load as the command needs to find and check the data: started first, it is ready by then.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
from functools import cache
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import ForkServerContext, SpawnContext

#: What the server loads; it loads all else.
PRELOAD = ["bids_app.engine.server_start"]
#: The path of a socket has at most 107 bytes, and multiprocessing appends up to 30 to the folder of temporary files.
_MAX_FOLDER = 70


def context() -> SpawnContext | ForkServerContext:
    """Return how worker processes are started: by the server, where there is one.

    Raises
    ------
    FileNotFoundError
        If the system has no folder for temporary files.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    _shorten_socket_path(os.getpid())
    forked = multiprocessing.get_context("forkserver")
    forked.set_forkserver_preload(PRELOAD)
    return forked


def start_early() -> None:
    """Let the server load in parallel where there is a processor for it; else it starts with the first job."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return
    try:
        context()
    except FileNotFoundError:  # a read-only container: temporary files will lie in the work folder, which is read later
        return
    resource_tracker.ensure_running()  # by itself the server would start it, and that lets signals through
    # Ctrl-C reaches the server too, which would print a traceback before it has come to ignore it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _shorten_socket_path(pid: int) -> None:
    """Let multiprocessing reach a folder of temporary files with a long path, as schedulers make, by a short one."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) <= _MAX_FOLDER:
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # open as long as this process lives
    tempfile.tempdir = f"/proc/{pid}/fd/{descriptor}"
    try:
        util.get_temp_dir()  # multiprocessing makes its folder once and remembers it
    finally:
        tempfile.tempdir = folder
