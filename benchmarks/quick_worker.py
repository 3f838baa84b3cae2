"""What :mod:`benchmarks.quick` times inside a process, with whatever version of the package is on the path.

``quick_worker.py methods PROBLEM.npz REPEATS`` and ``quick_worker.py plan STUDY``. Prints JSON: by name, seconds and
seconds of the processor. It imports nothing of the benchmarks, which another version may not have.
"""

import inspect
import json
import statistics
import sys
import time
from pathlib import Path

METHODS = (("unwrap", "romeo"), ("background", "lbv"), ("inversion", "rts"), ("inversion", "bayes"))
OPTIONS = ("--segmentation", "none", "--nprocs", "1", "--omp-nthreads", "1", "--skip-bids-validation")


def timed(function):
    begin, begin_cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


def median_of(function, repeats):
    """Call a function once, which loads what is compiled, and return the medians of the calls after it."""
    function()
    return [statistics.median(values) for values in zip(*(timed(function) for _ in range(repeats)), strict=True)]


def methods(path, repeats):
    import numpy as np

    from bids_app import qsm
    from bids_app.qsm.grid import Grid

    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    grid = Grid(arrays["mask"].shape, (1.0, 1.0, 1.0), (0.1, -0.2, 0.95))
    phase = np.angle(np.exp(1j * arrays["total"] / 0.02)).astype(np.float32)
    data = {"unwrap": phase, "background": arrays["total"], "inversion": arrays["local"]}
    registries = {"unwrap": qsm.UNWRAP, "background": qsm.BACKGROUND, "inversion": qsm.INVERSIONS}
    times = {}
    for kind, name in METHODS:
        if name not in registries[kind]:
            continue
        method = registries[kind][name]
        takes = inspect.signature(getattr(method, "function", method)).parameters
        more = {"magnitude": arrays["magnitude"]} if "magnitude" in takes else {}

        def call(method=method, kind=kind, more=more):
            method(data[kind], arrays["mask"], grid, **more)

        times[f"{kind}, {name}"] = median_of(call, int(repeats))
    return times


def plan(study):
    from bids_app.cli.config import from_arguments
    from bids_app.cli.job_options import options_for_jobs
    from bids_app.cli.options import build_parser
    from bids_app.dataset.query import find_subjects
    from bids_app.engine.levels import participant_jobs

    args = build_parser().parse_args([study, f"{study}-out", "participant", *OPTIONS])
    config = from_arguments(args, (), options_for_jobs(args))

    def all_jobs():
        participant_jobs(find_subjects(Path(study)), config.settings, config.context)

    participant_jobs(find_subjects(Path(study), ["00001"]), config.settings, config.context)  # imports
    return {"planning": timed(all_jobs)}


if __name__ == "__main__":
    print(json.dumps({"methods": methods, "plan": plan}[sys.argv[1]](*sys.argv[2:])))
