"""One method, timed in a fresh process: ``python -m benchmarks.worker PROBLEM.npz KIND NAME REPEATS``, prints JSON."""

import inspect
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import plain
from benchmarks.common import grid_of
from bids_app import qsm
from bids_app.qsm.inversion_tgv import TgvParams

#: A fixed number of TGV iterations on the full grid, to compare iterations with iterations.
LONG = {"tgv, 1000 iterations on one grid": TgvParams(iterations=1000, tolerance=0.0, levels=1)}


def _unwrap_skimage(phase, mask):
    from skimage.restoration import unwrap_phase

    return unwrap_phase(np.ma.masked_array(phase, ~mask))


def calls(arrays, kind, name):
    """Return a function that runs the method and takes a progress callback."""
    mask, grid, magnitude = arrays["mask"], grid_of(arrays), arrays["magnitude"]
    total, local = arrays["total"], arrays["local"]
    phase = np.angle(np.exp(1j * total / 0.02)).astype(np.float32)
    if kind == "unwrap":
        return lambda progress: qsm.UNWRAP[name](phase, mask, grid, magnitude=magnitude)
    if kind == "unwrap peer":
        return lambda progress: {"scikit-image": _unwrap_skimage}[name](phase, mask)
    if name in LONG:
        return lambda progress: qsm.INVERSIONS["tgv"](total, mask, grid, params=LONG[name], progress=progress)
    registry = {"background": qsm.BACKGROUND, "inversion": qsm.INVERSIONS, "plain": plain.METHODS}[kind]
    function = registry[name]
    whole = kind == "background" or name in plain.TAKE_TOTAL or (kind == "inversion" and name in qsm.SINGLE_STEP)
    if kind == "plain":
        return lambda progress: function(total if whole else local, mask, grid, progress=progress)
    more = {"magnitude": magnitude} if "magnitude" in inspect.signature(function).parameters else {}
    return lambda progress: function(total if whole else local, mask, grid, progress=progress, **more)


def main(path, kind, name, repeats):
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    small = {key: np.ascontiguousarray(value[_middle(value.shape)]) for key, value in arrays.items()}
    calls(small, kind, name)(None)  # compiles or loads what is compiled
    run = calls(arrays, kind, name)
    before = peak_bytes()
    seconds, steps = [], []
    for _ in range(repeats):
        count = []
        start = time.perf_counter()
        run(lambda done, total, count=count: count.append(done))
        seconds.append(time.perf_counter() - start)
        steps.append(len(count))
    print(json.dumps({"seconds": seconds, "iterations": steps[-1], "peak_bytes": peak_bytes(), "before": before}))


def peak_bytes():
    """Most memory of this process; the system's usage figure would keep that of the process which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _middle(shape):
    return tuple(slice(n // 2 - min(n, 32) // 2, n // 2 + min(n, 32) // 2) for n in shape)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
