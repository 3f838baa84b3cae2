"""How long a command will still take, from how long the same steps took in earlier runs and take in this one."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from bids_app.execution.events import Event
from bids_app.execution.worker import Job

Durations = dict[str, float]  # step -> seconds


def earlier_durations(records: Iterable[Mapping[str, Any]]) -> dict[str, Durations]:
    """Return the seconds of every step by the basename of what it ran over."""
    found: dict[str, Durations] = defaultdict(dict)
    for record in records:
        name, step, seconds = record.get("basename"), record.get("step"), record.get("duration_s")
        if isinstance(name, str) and isinstance(step, str) and isinstance(seconds, int | float):
            found[name][step] = float(seconds)
    return dict(found)


class Remaining:
    """Estimates the time left while events come in.

    A step is expected to take what it took for other jobs of the same kind in this run, else in earlier ones; an
    unchanged step takes nothing.

    Parameters
    ----------
    jobs : sequence of Job
        All jobs of the command.
    earlier : mapping of mappings
        Seconds of steps by the basename of what they ran over (:func:`earlier_durations`).
    clock : callable
        Gives seconds that never go back.
    """

    def __init__(
        self, jobs: Sequence[Job], earlier: Mapping[str, Durations], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._kinds = {job.name: f"{type(job.record).__name__} {job.function}" for job in jobs}
        self._seen: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._before: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for name, steps in earlier.items():
            if name in self._kinds:
                for step, seconds in steps.items():
                    self._before[self._kinds[name]][step].append(seconds)
        self._past: dict[str, set[str]] = {name: set() for name in self._kinds}
        self._now: dict[str, tuple[str, float]] = {}

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
        if event.kind == "job-started":
            self._now[event.job] = "", self._clock()
        elif event.kind == "job-finished":
            self._past.pop(event.job, None)
            self._now.pop(event.job, None)
        elif event.kind == "started":
            self._now[event.job] = event.step, self._clock()
        elif event.kind in {"finished", "skipped", "failed", "blocked"} and event.job in self._past:
            step, start = self._now.get(event.job, ("", 0.0))
            self._past[event.job].add(event.step)
            taken = self._clock() - start if step == event.step else 0.0
            if event.kind in {"finished", "skipped"}:
                self._seen[self._kinds[event.job]][event.step].append(taken)

    def seconds(self) -> float | None:
        """Return the expected seconds until the last job ends, None where nothing is known yet."""
        left = {name: self._left(name) for name in self._past}
        known = [value for value in left.values() if value is not None]
        if not known:
            return None
        # Kinds of which nothing is known (reports) take the others' place only for a moment.
        at_a_time = max(len(self._now), 1)
        return max(sum(known) / at_a_time, max((left[name] or 0.0 for name in self._now), default=0.0))

    def _left(self, name: str) -> float | None:
        kind = self._kinds[name]
        expected = {step: fmean(values) for step, values in self._before[kind].items()}
        expected |= {step: fmean(values) for step, values in self._seen[kind].items()}
        if not expected:
            return None
        step, start = self._now.get(name, ("", 0.0))
        total = sum(seconds for other, seconds in expected.items() if other not in self._past[name])
        return max(total - min(self._clock() - start, expected.get(step, 0.0)), 0.0) if step else total


def in_words(seconds: float | None) -> str:
    """Return a duration as a person says it: ``about 40 s left``, ``about 3 min left``, ``about 2 h 10 min left``."""
    if seconds is None:
        return ""
    if seconds < 55:
        return f"about {max(5 * round(seconds / 5), 5)} s left"
    minutes = max(round(seconds / 60), 1)
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min left"
