"""The server that workers are forked from (Linux): it loads libraries once, so that a job starts in milliseconds.

It needs about as long to load as the command needs to find and check the data: started first, it is ready by then.
"""

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

#: What the server loads; it loads all else.
PRELOAD = ["bids_app.engine.server_start"]


def context() -> SpawnContext | ForkServerContext:
    """Return how worker processes are started: by the server, where there is one."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forked = multiprocessing.get_context("forkserver")
    forked.set_forkserver_preload(PRELOAD)
    return forked


def start_early() -> None:
    """Let the server load in parallel where there is a processor for it; else it starts with the first job."""
    if sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2:
        return
    context()
    resource_tracker.ensure_running()  # by itself the server would start it, and that lets signals through
    # Ctrl-C reaches the server too, which would print a traceback before it has come to ignore it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
