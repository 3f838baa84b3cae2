"""Ends a Dask worker's process soon after the worker has closed; the live engine lets every worker load it.

A worker whose scheduler has gone closes by itself, but its process can stay: Dask waits for the job in flight, or for
tasks that never end, and the processors stay taken until the wall time. Nobody takes a result any more then, and what
the job has finished is on the disk: outputs are renamed into place, and half-written ones are swept by the next run.
The job's own process, and the programs below it, end with the worker's.
"""

import os
import sys
import threading
import time
from typing import Any

#: So long a closed worker has to end in its own way.
GRACE_S = 5.0
_LOOK_S = 0.5
_CLOSED = frozenset({"closing", "closed", "failed"})


def dask_setup(worker: Any) -> None:
    """Watch a worker; Dask calls it when the worker starts."""
    threading.Thread(target=_end_after, args=(worker,), name="end-after-worker", daemon=True).start()


def _end_after(worker: Any) -> None:
    while worker.status.name not in _CLOSED:
        time.sleep(_LOOK_S)
    time.sleep(GRACE_S)
    print("qsm-bids-app: the worker has closed, its process is ended", file=sys.stderr, flush=True)
    os._exit(0)
