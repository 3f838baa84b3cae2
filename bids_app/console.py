"""What the user sees while jobs run and at the end."""

import sys
from collections.abc import Mapping, Sequence

from bids_app.execution.events import Event, JobResult
from bids_app.execution.worker import Job


class Console:
    """One line for every step; at the end warnings, failures and a table."""

    def __init__(self, jobs: Sequence[Job], verbosity: int):
        self._numbers = {job.name: number for number, job in enumerate(jobs, start=1)}
        self._verbosity = verbosity

    def on_event(self, event: Event) -> None:
        """Print an event."""
        if event.kind == "started" or (self._verbosity and event.kind in ("skipped", "finished", "failed", "blocked")):
            number = f"[{self._numbers[event.job]}/{len(self._numbers)}]"
            print(f"{number} {event.job}: {event.step} {event.kind}", flush=True)

    def close(self, results: Sequence[JobResult], crashes: Mapping[str, str]) -> None:
        """Print warnings, failures and the table of all jobs."""
        for result in results:
            for warning in dict.fromkeys(result.warnings):
                print(f"{result.job}: warning: {warning}", file=sys.stderr)
            for failure in result.failures:
                step = f"{failure.step}: " if failure.step else ""
                print(f"{result.job}: FAILED: {step}{failure.sentence}", file=sys.stderr)
            if result.job in crashes:
                print(f"{result.job}: details: {crashes[result.job]}", file=sys.stderr)
        width = max((len(result.job) for result in results), default=3)
        print(f"\n{'run':<{width}}  status     time (s)  memory (GB)  steps")
        for result in results:
            steps = f"ran {', '.join(result.ran) or 'nothing'}; unchanged {len(result.skipped)}"
            memory = f"{result.peak_bytes / 1e9:.2f}" if result.peak_bytes else "-"
            print(f"{result.job:<{width}}  {result.status:<9}  {result.duration_s:8.1f}  {memory:>11}  {steps}")
        done = sum(result.status in ("done", "unchanged") for result in results)
        print(f"{done} of {len(results)} done")
