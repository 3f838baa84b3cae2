"""What the user sees while jobs run and at the end; all of it goes to the log file too."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from bids_app.cli.compilation import FIRST_RUN, CompilationWatch
from bids_app.engine.events import Event
from bids_app.engine.job import Job, ReportJob
from bids_app.engine.remaining_time import Durations, Remaining, in_words
from bids_app.model.results import JobResult

if TYPE_CHECKING:
    from rich.progress import TaskID

#: Events that are printed, by verbosity; the log has them all but progress.
_SHOWN = {0: {"started", "failed"}, 1: {"started", "failed", "finished", "skipped", "blocked"}}
#: Kinds of events as the user reads them; the others are words already.
_WORDS = {"job-started": "started", "job-finished": "ended", "skipped": "unchanged", "blocked": "not run"}


def log_lines(log: TextIO, lines: Iterable[str]) -> None:
    """Write lines to the log file, each with date and time."""
    now = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
    log.writelines(f"{now} {line}\n" for line in lines)


class Console:
    """Live bars on a terminal, else one line for every step; at the end warnings, failures and a table.

    ``earlier`` gives the durations of earlier runs' steps by basename; it is asked for on a terminal alone.
    """

    def __init__(
        self, jobs: Sequence[Job], verbosity: int, log: TextIO, earlier: Callable[[], Mapping[str, Durations]] = dict
    ):
        self._numbers = {job.name: number for number, job in enumerate(jobs, start=1)}
        reports = {job.name for job in jobs if isinstance(job, ReportJob)}
        self._reports = (
            reports if len(reports) < len(jobs) else set()
        )  # next to runs they are listed only where they fail
        self._shown = _SHOWN[min(verbosity, 1)]
        self._log = log
        self._bars = _Bars(jobs, earlier()) if is_live(sys.stdout) else None
        self._said_first_run = False
        self._watch: CompilationWatch | None = CompilationWatch(self.on_compiled)

    def on_event(self, event: Event) -> None:
        """Show an event."""
        if self._bars is not None:
            self._bars.on_event(event)
        if event.kind == "progress":
            return
        what = " ".join(filter(None, [event.step, _WORDS.get(event.kind, event.kind)]))
        line = f"[{self._numbers[event.job]}/{len(self._numbers)}] {event.job}: {what}"
        if event.kind in self._shown and self._bars is None:
            print(f"{datetime.now():%H:%M:%S} {line}", flush=True)
        log_lines(self._log, [line])

    def on_compiled(self, count: int) -> None:
        """Show that kernels are compiled, ``count`` of them so far."""
        if self._bars is not None:
            self._bars.on_compiled(count)
        elif not self._said_first_run:
            print(f"{datetime.now():%H:%M:%S} {FIRST_RUN}", flush=True)
        if not self._said_first_run:
            log_lines(self._log, [FIRST_RUN])
        self._said_first_run = True

    def say(self, text: str, error: bool = False) -> None:
        """Print a text, and write its lines to the log with the time."""
        print(text, file=sys.stderr if error else sys.stdout, flush=True)
        log_lines(self._log, text.strip("\n").splitlines())

    def stop(self) -> None:
        """Take the live bars away."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def close(self, results: Sequence[JobResult], crashes: Mapping[str, str], notes: Sequence[str]) -> None:
        """Print warnings, failures and the table of all jobs."""
        self.stop()
        for note in notes:
            self.say(f"warning: {note}", error=True)
        for result in results:
            for warning in dict.fromkeys(result.warnings):
                self.say(f"{result.job}: warning: {warning}", error=True)
            for line in _failures(result):
                self.say(f"{result.job}: {line}", error=True)
            if result.job in crashes:
                self.say(f"{result.job}: details: {crashes[result.job]}", error=True)
        width = max((len(result.job) for result in results), default=3)
        self.say(f"\n{'run':<{width}}  status     time (s)  memory (GB)  warnings  steps")
        shown_results = [result for result in results if result.job not in self._reports or result.failures]
        for result in shown_results:
            steps = f"ran {', '.join(result.ran) or 'nothing'}; unchanged {len(result.skipped)}"
            memory = f"{result.peak_bytes / 1e9:.2f}" if result.peak_bytes else "-"
            count = len(dict.fromkeys(result.warnings))
            figures = f"{result.duration_s:8.1f}  {memory:>11}  {count:8d}"
            self.say(f"{result.job:<{width}}  {result.status:<9}  {figures}  {steps}")
        done = sum(result.status in ("done", "unchanged") for result in shown_results)
        self.say(f"{done} of {len(shown_results)} done")


def _failures(result: JobResult) -> Iterator[str]:
    """Yield a line for every step that failed, and one for all that could not run because of that."""
    failed = [failure for failure in result.failures if not failure.blocked]
    blocked = [failure for failure in result.failures if failure.blocked]
    for failure in failed:
        yield f"FAILED: {failure.step}: {failure.sentence}" if failure.step else f"FAILED: {failure.sentence}"
    if failed and blocked:
        yield f"not run because of it: {', '.join(failure.step for failure in blocked)}"
    elif blocked:
        yield f"{blocked[0].step}: {blocked[0].sentence}"
        if blocked[1:]:
            yield f"not run because of it: {', '.join(failure.step for failure in blocked[1:])}"


def is_live(stream: TextIO) -> bool:
    """Whether lines can be drawn over again: a terminal that is not ``TERM=dumb``."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _Bars:
    """One bar for all jobs, with the time left, and one for every job that runs, with its step."""

    def __init__(self, jobs: Sequence[Job], earlier: Mapping[str, Durations]):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        left = TextColumn("{task.fields[left]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), left)
        self._remaining = Remaining(jobs, earlier)
        self._progress = Progress(*columns, transient=True)
        self._all = self._progress.add_task("all", total=len(jobs), left=in_words(self._remaining.seconds()))
        self._tasks: dict[str, TaskID] = {}
        self._compiling: TaskID | None = None
        self._progress.start()

    def on_event(self, event: Event) -> None:
        """Move the bars."""
        self._remaining.on_event(event)
        if event.kind == "job-started":
            self._tasks[event.job] = self._progress.add_task(event.job, total=100, left="")
        elif event.kind == "job-finished":
            self._progress.advance(self._all)
            if event.job in self._tasks:
                self._progress.remove_task(self._tasks.pop(event.job))
        elif event.job in self._tasks:
            # Solvers that converge early end below their total; a finished step is seen from the next one.
            count = f" (iteration {event.done} of {event.total})" if event.kind == "progress" and event.total else ""
            text = f"{event.job}: {event.step}{count}"
            done = 100 * event.done // event.total if event.total else 0
            self._progress.update(self._tasks[event.job], description=text, completed=done)
        self._progress.update(self._all, left=in_words(self._remaining.seconds()))

    def on_compiled(self, count: int) -> None:
        """Show how many kernels have been compiled; nobody knows how many a run needs."""
        text = f"first run: compiling numerical kernels ({count} so far, once)"
        if self._compiling is None:
            self._compiling = self._progress.add_task(text, total=None, left="")
        self._progress.update(self._compiling, description=text, completed=count)

    def stop(self) -> None:
        """Take the bars away."""
        self._progress.stop()
