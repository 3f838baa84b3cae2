"""The whole command in this process, step by step: ``python -m benchmarks.steps_worker STUDY OUT PRESET THREADS``.

Prints JSON: for each step, and for what is around them (``start and report``), ``seconds``, ``user`` and ``system``
(processor time in s), ``peak_bytes``, and ``moved_bytes``, what its Fourier transforms and TGV read and write at least.
"""

import contextlib
import json
import resource
import sys
import time
from unittest import mock

STARTED = time.perf_counter()

from bids_app.cli.environment import prepare_environment  # noqa: E402 (after the clock)

prepare_environment()  # before NumPy is loaded, as the command does

from benchmarks.worker import Transforms  # noqa: E402 (after the clock)
from bids_app.cli.command import main as command  # noqa: E402
from bids_app.engine import chain, runner  # noqa: E402
from bids_app.engine.events import Event  # noqa: E402
from bids_app.engine.worker import limit_threads  # noqa: E402
from bids_app.qsm.inversion import generalised_variation  # noqa: E402

#: Float32 values per voxel of the mask that an iteration of TGV reads and writes at least: 37 serve two.
TGV_VALUES = 18.5


def _clock():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": time.perf_counter(), "user": used.ru_utime, "system": used.ru_stime}


class Meter:
    """Measures steps as they run."""

    def __init__(self):
        self.steps, self.transforms, self.tgv = {}, Transforms(), 0.0

    def execute(self, step, *args, **kwargs):
        before, moved = _clock(), self.moved
        saved = self._execute(step, *args, **kwargs)
        self.steps[step.name] = {name: now - before[name] for name, now in _clock().items()}
        self.steps[step.name] |= {"peak_bytes": saved.peak_memory_bytes, "moved_bytes": self.moved - moved}
        return saved

    _execute = staticmethod(chain.execute)
    _solve = staticmethod(generalised_variation.solve)

    @property
    def moved(self):
        return self.transforms.bytes + self.tgv

    def solve(self, problem, *args, **kwargs):
        done = self._solve(problem, *args, **kwargs)
        self.tgv += 4 * TGV_VALUES * problem.domain.in_mask.voxels * done
        return done


def _in_this_process(threads):
    def run(jobs, policy, on_event, pulse):
        results = {}
        for job in jobs:
            limit_threads(threads)
            results[job.name] = job.with_results(results).do(lambda *event: None)
            on_event(Event("job-finished", job.name))
        return results

    return run


def main(study, out, preset, threads):
    meter = Meter()
    words = (study, out, "participant", "--preset", preset, "--skip-bids-validation", "--segmentation", "none")
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        stack.enter_context(mock.patch.object(runner, "_run", _in_this_process(int(threads))))
        stack.enter_context(mock.patch.object(chain, "execute", meter.execute))
        stack.enter_context(mock.patch.object(generalised_variation, "solve", meter.solve))
        code = command([*words, "--omp-nthreads", threads])
    if code:
        sys.exit(code)
    around = _clock() | {"peak_bytes": 0, "moved_bytes": 0}
    around["seconds"] -= STARTED
    for name in ("seconds", "user", "system"):
        around[name] -= sum(step[name] for step in meter.steps.values())
    print(json.dumps(meter.steps | {"start and report": around}))


if __name__ == "__main__":
    main(*sys.argv[1:])
