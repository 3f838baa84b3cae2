"""``--events FILE``: what happens, as lines of JSON, for programs that watch a run.

The kinds of lines: ``message`` (``text``), ``jobs`` (``names``; a new level starts), the events of
:class:`bids_app.engine.events.Event` with ``left_s`` (expected seconds until the last job ends, or null), and
``result`` (how a job ended).
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bids_app.engine.events import Event
from bids_app.engine.job import Job
from bids_app.engine.remaining_time import Durations, Remaining
from bids_app.errors import UsageError
from bids_app.model.results import JobResult

#: Progress of one job is written at most once in this time (s).
_PACE_S = 0.2


class EventLog:
    """Appends events to a file; without a path nothing is written.

    A disk that is full ends the log and not the run: nobody's maps depend on it.

    Raises
    ------
    UsageError
        If the file cannot be opened.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._remaining = Remaining([], {})
        self._clock = clock
        self._last: dict[str, float] = {}
        if path is not None:
            try:
                path.open("a", encoding="utf-8").close()
            except OSError as error:
                raise UsageError(f"--events: {path} cannot be written: {error.strerror}") from error

    def message(self, text: str) -> None:
        """Write a sentence for the user."""
        self._write(kind="message", text=text)

    def start(self, jobs: Sequence[Job], earlier: Callable[[], Mapping[str, Durations]]) -> None:
        """Write the names of a level's jobs; ``earlier`` gives the durations of earlier runs' steps."""
        if self._path is not None:
            self._remaining = Remaining(jobs, earlier())
            self._write(kind="jobs", names=[job.name for job in jobs])

    def on_event(self, event: Event) -> None:
        """Write an event."""
        if self._path is None:
            return
        self._remaining.on_event(event)
        now = self._clock()
        if event.kind == "progress" and now - self._last.get(event.job, -_PACE_S) < _PACE_S:
            return
        self._last[event.job] = now
        left = self._remaining.seconds()
        self._write(**vars(event), left_s=None if left is None else round(left, 1))

    def results(self, results: Sequence[JobResult]) -> None:
        """Write how the jobs of a level ended."""
        for result in results:
            self._write(
                kind="result",
                job=result.job,
                status=result.status,
                seconds=round(result.duration_s, 1),
                warnings=list(dict.fromkeys(result.warnings)),
                failures=[failure.sentence for failure in result.failures if not failure.blocked],
            )

    def _write(self, **line: object) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line)}\n")
        except OSError:
            self._path = None
