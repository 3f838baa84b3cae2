"""Runs jobs in processes of their own: order, number at once, memory, failure policy.

Each job has its own process: memory comes back when it ends, and a process that the kernel kills fails its own job
alone. A job starts when the jobs that it comes after have ended (well or not), a place is free, and its estimated
memory fits into what the running ones leave.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from bids_app.derivatives.scratch import remove_scratch, scratch_path
from bids_app.engine import server
from bids_app.engine.claims import pulse_of_jobs, remove_stale_locks
from bids_app.engine.events import Event, EventHandler
from bids_app.engine.job import Job
from bids_app.engine.memory import killed_for_memory
from bids_app.engine.order import Order
from bids_app.engine.worker import work
from bids_app.model.results import JobResult, StepFailure

#: So much of what a failed job's process printed is kept.
_TAIL_BYTES = 8000


@dataclass(frozen=True)
class Policy:
    """How jobs are run."""

    processes: int = 1
    memory: int = 0  # bytes that all jobs together may take by their estimates
    stop_on_first_crash: bool = False
    verbose: bool = False  # workers print where the command prints


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    connection: Connection
    started: float
    kills: int | None
    printed: Path | None
    step: str = ""
    result: JobResult | None = None


def run_jobs(jobs: Sequence[Job], policy: Policy, on_event: EventHandler) -> dict[str, JobResult]:
    """Run all jobs and return their results by name, in the order of ``jobs``.

    On KeyboardInterrupt every worker is ended at once, and the exception goes on.
    """
    with pulse_of_jobs([job.context for job in jobs]) as pulse:
        return _run(jobs, policy, on_event, pulse)


def _run(jobs: Sequence[Job], policy: Policy, on_event: EventHandler, pulse: str) -> dict[str, JobResult]:
    results: dict[str, JobResult] = {}
    order, running = Order(jobs), list[_Running]()

    def end(result: JobResult) -> None:
        results[result.job] = result
        order.ended(result.job)
        on_event(Event("job-finished", result.job))
        if policy.stop_on_first_crash and result.failures:
            results.update({job.name: JobResult(job.name, job.subject, stopped=True) for job in order.take_all()})

    try:
        while order or running:
            for job in _that_fit(order, running, policy):
                order.take(job)
                job = job.with_results(results)
                done = job.unchanged()  # no process is started where there is nothing to do
                if done is not None:
                    end(done)
                else:
                    on_event(Event("job-started", job.name))
                    running.append(_start(job, policy, pulse))
            for ended in _collect(running, on_event):
                running.remove(ended)
                end(_result(ended))
    finally:
        for left in running:
            _kill(left)
    return {job.name: results[job.name] for job in jobs}


def _that_fit(order: Order, running: Sequence[_Running], policy: Policy) -> Iterator[Job]:
    """Give the jobs that may start while others run (which grow meanwhile); one that is alone always may."""
    free = policy.memory - sum(other.job.memory for other in running)
    for job in order.ready():
        if running and len(running) >= policy.processes:
            return
        if not running or job.memory <= free:
            yield job
            free = policy.memory - sum(other.job.memory for other in running)


def _start(job: Job, policy: Policy, pulse: str) -> _Running:
    context = server.context()
    receiver, sender = context.Pipe(duplex=False)
    printed = None if policy.verbose else scratch_path(job.context.work_dir, job.name)
    process = context.Process(target=work, args=(job, sender, printed, pulse), name=job.name)
    process.start()
    sender.close()
    return _Running(job, process, receiver, time.monotonic(), killed_for_memory(), printed)


def _collect(running: Sequence[_Running], on_event: EventHandler) -> list[_Running]:
    """Wait for messages, pass events on, and return the jobs that have ended."""
    if not running:
        return []
    ready = wait([r.connection for r in running])
    ended = []
    for active in running:
        if active.connection not in ready:
            continue
        try:
            message = active.connection.recv()
        except (EOFError, OSError):  # the process has gone, with or without a result
            active.process.join()
            ended.append(active)
            continue
        if isinstance(message, JobResult):
            active.result = message
        else:
            active.step = message.step if message.kind in ("started", "progress") else active.step
            on_event(message)
    return ended


def _result(ended: _Running) -> JobResult:
    job, result = ended.job, ended.result
    killed = result is None
    if result is None:
        result = JobResult(job.name, job.subject, failures=[StepFailure(ended.step, _why(ended))])
    if result.failures and ended.printed is not None:
        with suppress(OSError):
            result.output = ended.printed.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    _sweep(ended, killed)
    result.duration_s = time.monotonic() - ended.started
    return result


def _why(ended: _Running) -> str:
    """Return the sentence for a process that ended without a result."""
    code = ended.process.exitcode or 0
    if code == -signal.SIGKILL:
        kills = killed_for_memory()
        advice = "use fewer processes at once (--nprocs, --mem), or a machine with more memory"
        if kills is not None and ended.kills is not None and kills > ended.kills:
            return f"memory ran out and the system killed the process; {advice}"
        return f"the process was killed from outside (SIGKILL), as the system does when memory runs out; {advice}"
    if code < 0:
        return f"the process ended by signal {signal.Signals(-code).name}"
    return f"the process ended without a result (exit code {code})"


def _kill(left: _Running) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if left.process.pid is not None:
            os.killpg(left.process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        left.process.kill()
    left.process.join(1)
    left.connection.close()
    _sweep(left, killed=True)


def _sweep(ended: _Running, killed: bool) -> None:
    """Remove a process's captured output, and what it has left half-written if it was killed."""
    if ended.printed is not None:
        ended.printed.unlink(missing_ok=True)
    if killed:
        remove_scratch(ended.job.context.work_dir)
        remove_stale_locks(ended.job.context)
        ended.job.sweep()
