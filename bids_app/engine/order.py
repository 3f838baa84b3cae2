"""Which jobs may start: those whose predecessors have ended, in the order in which they were listed.

Every event asks for the next job, of tens of thousands; jobs of one stage all wait for the same ones. So each distinct
tuple of predecessors is counted down once, and an event costs what it sets free.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bids_app.engine.job import Job


@dataclass
class _Gate:
    """Jobs that wait for the same others."""

    left: int  # how many of those have not ended
    behind: list[int] = field(default_factory=list)


class Order:
    """Jobs that have not started; those that wait for a job that is not among them do not wait for it."""

    def __init__(self, jobs: Sequence[Job]):
        self._jobs = list(jobs)
        self._numbers = {job.name: number for number, job in enumerate(jobs)}
        gates: dict[int, _Gate] = {}  # by identity: a stage's jobs share one tuple, and comparing long ones takes long
        self._gates_of: dict[str, list[_Gate]] = defaultdict(list)
        self._ready: list[int] = []
        self._waiting = set(range(len(self._jobs)))
        for number, job in enumerate(self._jobs):
            gate = gates.get(id(job.after))
            if gate is None:
                before = self._numbers.keys() & set(job.after)
                gate = gates[id(job.after)] = _Gate(len(before))
                for name in before:
                    self._gates_of[name].append(gate)
            (gate.behind if gate.left else self._ready).append(number)

    def __len__(self) -> int:
        return len(self._waiting)

    def ready(self) -> Iterator[Job]:
        """Give the jobs that may start, as they stand now; each may be taken meanwhile."""
        yield from (self._jobs[number] for number in tuple(self._ready))

    def take(self, job: Job) -> None:
        """Take a job that may start."""
        number = self._numbers[job.name]
        self._ready.remove(number)
        self._waiting.discard(number)

    def take_all(self) -> list[Job]:
        """Take all jobs, those that wait too."""
        left = [self._jobs[number] for number in sorted(self._waiting)]
        self._waiting, self._ready = set(), []
        return left

    def ended(self, name: str) -> None:
        """Take note that a job has ended, well or not."""
        for gate in self._gates_of.pop(name, ()):
            gate.left -= 1
            if not gate.left:
                for number in gate.behind:
                    if number in self._waiting:
                        insort(self._ready, number)
