"""One method, timed in a fresh process: ``python -m benchmarks.worker PROBLEM.npz KIND NAME REPEATS ECHOES``.

Prints JSON: ``seconds`` of each repetition, ``iterations``, ``seconds_per_iteration`` (between the first and the last),
``iterations_due`` where less than the method's own number were run, ``peak_bytes`` of the process, and
``transform_bytes``, what the Fourier transforms of one repetition read and write at least.
"""

import inspect
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import scipy.fft

from benchmarks import plain, stages
from benchmarks.common import cores, grid_of
from bids_app import qsm
from bids_app.qsm.inversion.tgv import TgvParams

#: A fixed number of TGV iterations on the full grid, to compare iterations with iterations.
LONG = {"tgv, 1000 iterations on one grid": TgvParams(iterations=1000, tolerance=0.0, levels=1)}


def _unwrap_skimage(phase, mask):
    from skimage.restoration import unwrap_phase

    return unwrap_phase(np.ma.masked_array(phase, ~mask))


#: Axes that a transform runs over by default.
AXES = {"fft": 1, "ifft": 1, "rfft": 1, "irfft": 1, "fftn": 3, "ifftn": 3, "rfftn": 3, "irfftn": 3}


class Transforms:
    """Counts the bytes that scipy's Fourier transforms read and write: each axis passes over the array once."""

    def __init__(self):
        self.bytes = 0
        for name, default in AXES.items():
            setattr(scipy.fft, name, self._counted(getattr(scipy.fft, name), default))

    def _counted(self, function, default):
        def call(array, *args, **kwargs):
            out = function(array, *args, **kwargs)
            axes = len(kwargs["axes"]) if kwargs.get("axes") is not None else default
            self.bytes += axes * 2 * min(array.nbytes, out.nbytes)
            return out

        return call


def calls(arrays, kind, name, echoes):
    """Return a function that runs the method and takes a progress callback."""
    if kind == "stage":
        stage = stages.call(name, arrays, grid_of(arrays), echoes)
        return lambda progress: stage()
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
        few = {"iterations": plain.TIMED[name]} if name in plain.TIMED else {}
        return lambda progress: function(total if whole else local, mask, grid, progress=progress, **few)
    # A method is called through a property, whose signature inspect does not see.
    taken = inspect.signature(getattr(function, "function", function)).parameters
    more = {"magnitude": magnitude} if "magnitude" in taken else {}
    return lambda progress: function(total if whole else local, mask, grid, progress=progress, **more)


def main(path, kind, name, repeats, echoes):
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    small = {key: np.ascontiguousarray(value[_middle(value.shape)]) for key, value in arrays.items()}
    with scipy.fft.set_workers(cores()):
        calls(small, kind, name, echoes)(None)  # compiles or loads what is compiled
        run, transforms = calls(arrays, kind, name, echoes), Transforms()
        seconds = []
        for _ in range(repeats):
            ticks = [time.perf_counter()]
            run(lambda done, total, ticks=ticks: ticks.append(time.perf_counter()))
            seconds.append(time.perf_counter() - ticks[0])
    steps = len(ticks) - 1
    answer = {"seconds": seconds, "iterations": steps, "peak_bytes": peak_bytes()}
    answer["seconds_per_iteration"] = (ticks[-1] - ticks[1]) / (steps - 1) if steps > 1 else None
    answer["transform_bytes"] = transforms.bytes / repeats
    if kind == "plain" and name in plain.TIMED:
        answer["iterations_due"] = inspect.signature(plain.METHODS[name]).parameters["iterations"].default
    print(json.dumps(answer))


def peak_bytes():
    """Most memory of this process; the system's usage figure would keep that of the process which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _middle(shape):
    return tuple(slice(n // 2 - min(n, 32) // 2, n // 2 + min(n, 32) // 2) for n in shape)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
