"""Runs jobs on a cluster through Dask: one scheduler job is one worker, and a worker runs one of our jobs at a time.

The records of the steps are the truth, not Dask: a worker that dies or reaches its wall time is replaced and its job
goes on at the step in flight, and when the head process dies the same command starts again with what is left.
"""

import math
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from bids_app.engine import schedulers as engines
from bids_app.engine.certificates import security_of_run
from bids_app.engine.events import Event, EventHandler
from bids_app.engine.job import Job
from bids_app.engine.order import Order
from bids_app.engine.runner import Policy, run_jobs
from bids_app.errors import UsageError
from bids_app.model.results import JobResult, StepFailure

_DEFAULT_JOBS = 100
#: Workers that may die under one job before the job itself counts as failed.
_LIVES = 3
_TOPIC = "qsm-bids-app"
#: So often the scheduler is asked about workers that have not come yet.
_LOOK_S = 10.0
#: Jobs that are handed to Dask at once, for every worker that there may be.
_AHEAD = 4


@dataclass(frozen=True)
class ClusterEngine:
    """Takes the place of :func:`bids_app.engine.runner.run_jobs`.

    Parameters
    ----------
    name : str
        slurm, pbs, sge, lsf or htcondor.
    config_file : Path, optional
        TOML file of keywords for dask-jobqueue's cluster class; they win over all others. ``minimum_jobs``,
        ``maximum_jobs`` and ``minutes`` (wall time of a worker) are taken out.
    threads : int
        Processors of a worker.
    say : callable
        Called with sentences for the user.
    """

    name: str
    config_file: Path | None = None
    account: str | None = None
    queue: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # container command of the jobs
    threads: int = 1
    at_once: int | None = None
    log_dir: Path | None = None
    say: Callable[[str], None] = print

    def __call__(self, jobs: Sequence[Job], policy: Policy, on_event: EventHandler) -> dict[str, JobResult]:
        """Run all jobs and return their results by name, in the order of ``jobs``.

        Raises
        ------
        ToolMissingError
            If Dask or the scheduler's commands are not installed.
        UsageError
            If the configuration file cannot be used.
        """
        kind, keywords, limits = self.configuration(jobs)
        dask, distributed = _import_dask()
        # One bad node must not fail a job for good.
        settings = {"distributed.scheduler.allowed-failures": _LIVES, "distributed.worker.profile.enabled": False}
        # Without a route to the internet Dask says that it does not know its address, which is given to it.
        warnings.filterwarnings("ignore", message="Couldn't detect a suitable IP address")
        with (
            dask.config.set(settings),
            tempfile.TemporaryDirectory(prefix="qsm-dask-") as folder,
            security_of_run(self.log_dir or Path.cwd()) as security,
        ):
            try:
                cluster = kind(local_directory=folder, security=security, **keywords)
            except (TypeError, ValueError) as error:
                raise UsageError(f"--cluster {self.name}: {error}") from error
            with cluster, distributed.Client(cluster, security=security) as client:
                self.say(
                    f"cluster: {self.name}, at most {limits['maximum_jobs']} jobs; dashboard {client.dashboard_link}"
                )
                cluster.adapt(**limits, interval="2s", wait_count=5)
                head = _Head(client, distributed, policy, on_event, limits["maximum_jobs"])
                return head.run(jobs, lambda: _forget_lost(self.name, cluster))

    def configuration(self, jobs: Sequence[Job]) -> tuple[Any, dict[str, Any], dict[str, int]]:
        """Return dask-jobqueue's class, its keywords, and the limits of the number of jobs.

        Raises
        ------
        ToolMissingError, UsageError
            As the call.
        """
        kind = engines.find(self.name)
        changed = engines.read(self.config_file, kind)
        minutes = changed.pop("minutes", engines.DEFAULT_MINUTES)
        most = min(len(jobs), changed.pop("maximum_jobs", self.at_once or _DEFAULT_JOBS))
        limits = {"minimum_jobs": min(most, changed.pop("minimum_jobs", 1)), "maximum_jobs": max(1, most)}
        memory = max(2, math.ceil(1.25 * max((job.memory for job in jobs), default=0) / 1e9) + 1)
        if self.log_dir is not None:
            self.log_dir.mkdir(parents=True, exist_ok=True)
        worker = engines.Worker(
            self.threads,
            memory,
            minutes,
            self.account,
            self.queue,
            self.options,
            self.modules,
            () if "python" in changed else self.command,
            self.log_dir,
        )
        defaults = engines.keywords_of(self.name, worker)
        options = defaults["scheduler_options"] | changed.pop("scheduler_options", {})
        if "interface" in changed or "interface" in options:
            options.pop("host")  # the interface gives the address
        keywords = defaults | changed | {"scheduler_options": options}
        keywords["worker_extra_args"] = [*keywords["worker_extra_args"], *engines.WORKER_WORDS]
        return kind, keywords, limits


def _import_dask() -> tuple[Any, Any]:
    import dask
    import distributed

    return dask, distributed


def _forget_lost(name: str, cluster: Any) -> None:
    """Let workers be replaced that have left the queue without ever having come to us.

    Dask itself waits for them for ever; those that came and died it replaces.
    """
    here = {worker.name for worker in cluster.scheduler.workers.values()}
    jobs = {key: job.job_id for key, job in list(cluster.workers.items()) if key not in here}
    lost = [key for key, job_id in jobs.items() if job_id and not engines.is_queued(name, str(job_id))]
    if lost:
        cluster.sync(cluster.scale_down, lost)


class _Head:
    """Hands jobs to Dask in the order of their dependencies and gathers what comes back.

    Only so many are handed over at once that every worker has the next one at hand: the scheduler's memory and its work
    for each message stay the same with 10,000 jobs.
    """

    def __init__(self, client: Any, distributed: Any, policy: Policy, on_event: EventHandler, most: int):
        self.client, self.distributed, self.policy, self.on_event = client, distributed, policy, on_event
        self.most = _AHEAD * most
        self.results: dict[str, JobResult] = {}
        self.running: dict[str, tuple[Any, Job]] = {}  # by the future's key
        self.starts: Counter[tuple[str, str]] = Counter()  # of each job's steps
        self.given_up: dict[str, str] = {}  # the step that never ends, by job
        self.messages: SimpleQueue[Event | Any] = SimpleQueue()  # events and ended futures, from Dask's own thread

    def run(self, jobs: Sequence[Job], look_after: Callable[[], None]) -> dict[str, JobResult]:
        """Run all jobs; ``look_after`` is called every few seconds."""
        order, looked = Order(jobs), time.monotonic()
        self.client.subscribe_topic(_TOPIC, lambda message: self.messages.put(Event(**message[1]["event"])))
        while order or self.running:
            for job in order.ready():
                if len(self.running) >= self.most:
                    break
                order.take(job)
                self._send(job)
            if time.monotonic() - looked >= _LOOK_S:
                look_after()
                looked = time.monotonic()
            try:
                message = self.messages.get(timeout=_LOOK_S)
            except Empty:
                continue
            if isinstance(message, Event):
                self._watch(message)
                self.on_event(message)
                continue
            result = self._result(message)
            self.results[result.job] = result
            order.ended(result.job)
            self.on_event(Event("job-finished", result.job))
            if self.policy.stop_on_first_crash and result.failures:
                self.results |= {job.name: JobResult(job.name, job.subject, stopped=True) for job in order.take_all()}
        return {job.name: self.results[job.name] for job in jobs}

    def _watch(self, event: Event) -> None:
        """Give a job up whose step starts again and again: it is longer than the wall time, or kills its workers."""
        if event.kind != "started":
            return
        self.starts[event.job, event.step] += 1
        if self.starts[event.job, event.step] > _LIVES + 1:
            self.given_up[event.job] = event.step
            for future, job in self.running.values():
                if job.name == event.job:
                    future.cancel()

    def _send(self, job: Job) -> None:
        job = job.with_results(self.results)
        future = self.client.submit(run_on_worker, job, pure=False, retries=0)
        self.running[future.key] = future, job  # Dask forgets a task whose future is gone
        future.add_done_callback(self.messages.put)

    def _result(self, future: Any) -> JobResult:
        _, job = self.running.pop(future.key)
        if job.name in self.given_up:
            advice = "give workers more time ('minutes' in --cluster-config)"
            sentence = f"it was begun {_LIVES + 2} times and never ended: {advice}"
            return JobResult(job.name, job.subject, failures=[StepFailure(self.given_up[job.name], sentence)])
        try:
            result: JobResult = future.result()
        except self.distributed.KilledWorker:
            sentence = f"{_LIVES} workers died under it; memory may have run out, see the scheduler's own records"
            result = JobResult(job.name, job.subject, failures=[StepFailure("", sentence)])
        except Exception as error:  # whatever went wrong on the worker is this job's failure and no other's
            result = JobResult(job.name, job.subject, failures=[StepFailure("", f"{type(error).__name__}: {error}")])
        return result


def run_on_worker(job: Job) -> JobResult:
    """Run one job in a process below this Dask worker, as on a single machine, and send its events to the head."""
    from distributed import get_worker

    worker = get_worker()

    def forward(event: Event) -> None:
        if event.kind != "job-finished":  # the head says that itself, once, when the result is there
            worker.log_event(_TOPIC, {"event": asdict(event)})

    # Within Slurm the scheduler's own limit of memory rules; here one job runs at a time.
    return run_jobs([job], Policy(processes=1, memory=2**62), forward)[job.name]
