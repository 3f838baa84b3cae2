"""How long a command will still take, from how long the same steps took in earlier runs and take in this one."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bids_app.engine.events import Event
from bids_app.engine.job import Job
from bids_app.model.step_record import StepRecord

Durations = dict[str, float]  # step -> seconds


def earlier_durations(records: Iterable[StepRecord]) -> dict[str, Durations]:
    """Return the seconds of every step by the basename of what it ran over."""
    durations: dict[str, Durations] = defaultdict(dict)
    for record in records:
        durations[record.basename][record.step] = record.duration_s
    return dict(durations)


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


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
        self._kinds = {job.name: job.kind for job in jobs}
        # Sums, not lists: every event asks for the time left, of thousands of jobs.
        self._seen, self._before = (defaultdict[str, dict[str, _Mean]](dict) for _ in range(2))
        for name, steps in earlier.items():
            if name in self._kinds:
                for step, seconds in steps.items():
                    self._before[self._kinds[name]].setdefault(step, _Mean()).add(seconds)
        #: Jobs that have not ended, by kind, and how many of them have each step behind them.
        self._alive = Counter(self._kinds.values())
        self._done: dict[str, Counter[str]] = defaultdict(Counter)
        self._past: dict[str, set[str]] = {name: set() for name in self._kinds}
        self._now: dict[str, tuple[str, float]] = {}

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
        kind = self._kinds.get(event.job, "")
        if event.kind == "job-started":
            self._now[event.job] = "", self._clock()
        elif event.kind == "job-finished":
            self._now.pop(event.job, None)
            if event.job in self._past:
                self._alive[kind] -= 1
                self._done[kind].subtract(self._past.pop(event.job))
        elif event.kind == "started":
            self._now[event.job] = event.step, self._clock()
        elif event.kind in {"finished", "skipped", "failed", "blocked"} and event.job in self._past:
            step, start = self._now.get(event.job, ("", 0.0))
            if event.step not in self._past[event.job]:
                self._past[event.job].add(event.step)
                self._done[kind][event.step] += 1
            if event.kind in {"finished", "skipped"}:
                taken = self._clock() - start if step == event.step else 0.0
                self._seen[kind].setdefault(event.step, _Mean()).add(taken)

    def seconds(self) -> float | None:
        """Return the expected seconds until the last job ends, None where nothing is known yet."""
        expected = {kind: self._expected(kind) for kind, count in self._alive.items() if count}
        if not any(expected.values()):
            return None
        now = {name: self._credit(name, expected) for name in self._now if name in self._past}
        total = sum(
            seconds * (self._alive[kind] - self._done[kind][step])
            for kind, steps in expected.items()
            for step, seconds in steps.items()
        )
        longest = max((self._left(name, expected) - credit for name, credit in now.items()), default=0.0)
        # Kinds of which nothing is known (reports) take the others' place only for a moment.
        return max((total - sum(now.values())) / max(len(self._now), 1), longest)

    def _expected(self, kind: str) -> Durations:
        return {step: mean.value for step, mean in (self._before[kind] | self._seen[kind]).items()}

    def _left(self, name: str, expected: Mapping[str, Durations]) -> float:
        """Return what a job's steps that are not behind it take, from their start on."""
        past = self._past[name]
        return sum(seconds for step, seconds in expected[self._kinds[name]].items() if step not in past)

    def _credit(self, name: str, expected: Mapping[str, Durations]) -> float:
        """Return what has passed of a job's present step, at most what it was expected to take."""
        step, start = self._now[name]
        if step in self._past[name]:
            return 0.0
        return min(self._clock() - start, expected[self._kinds[name]].get(step, 0.0))


def in_words(seconds: float | None) -> str:
    """Return a duration as a person says it: ``about 40 s left``, ``about 3 min left``, ``about 2 h 10 min left``."""
    if seconds is None:
        return ""
    if seconds < 55:
        return f"about {max(5 * round(seconds / 5), 5)} s left"
    minutes = max(round(seconds / 60), 1)
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min left"
