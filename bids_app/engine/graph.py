"""The job graph: stages of records, and which job waits for which, derived from what the steps declare.

A stage is the records of one class that the same steps run over; its jobs do not wait for each other. Everything that
asks for an order asks here: the local run, the stages of ``--stage``, the array scripts, ``--dry-run``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Never, TypeVar, cast

from bids_app.engine.job import Job, StepsJob
from bids_app.errors import UsageError
from bids_app.model.context import Context
from bids_app.model.records import Anatomical, Record
from bids_app.model.settings import Settings
from bids_app.model.step import Step, StepList, plan

R = TypeVar("R", bound=Record)
R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True)
class Stage(Generic[R_contra]):
    """Records that the same steps run over, each of them a job of its own."""

    name: str  # as in --stage
    steps: StepList[R_contra]
    records: tuple[Record, ...]

    def of_records(self) -> tuple[StepList[Record], tuple[Record, ...]]:
        """Return steps and records; :func:`stage` has made sure that they belong together."""
        return cast("StepList[Record]", self.steps), self.records

    def memory(self, settings: Settings) -> int:
        """Return the largest estimate (bytes) of the steps over the first record: the others are like it."""
        steps, records = self.of_records()
        return max((step.memory(records[0], settings) for step in steps()), default=0) if records else 0

    def step_names(self) -> set[str]:
        """Return the names of all steps."""
        return {step.name for step in self.steps()}


AnyStage = Stage[Never]


def stage(name: str, steps: StepList[R], records: Sequence[R]) -> AnyStage:
    """Return a stage; the type checker sees here that the steps run over records of this class."""
    return Stage(name, steps, tuple(records))


def predecessors(steps: Sequence[Step[R]], record: R, settings: Settings) -> Iterator[str]:
    """Yield the basenames of the records whose products some steps over ``record`` read."""
    image = getattr(record, "t1w", None)
    for step in steps:
        if isinstance(image, Anatomical) and step.needs_t1w(record, settings):
            yield image.basename
        yield from (other.basename for other, _ in step.collects(record, settings).values())


def jobs_of(
    stages: Sequence[AnyStage],
    settings: Settings,
    context: Context,
    subject: str = "",
    t1w_steps: StepList[Anatomical] | None = None,
) -> list[Job]:
    """Return the jobs of all stages, in their order; a record that no step makes anything of has none.

    Raises
    ------
    RuntimeError
        If a job reads what a job of its own or of a later stage makes (a mistake in the order of the stages).
    """
    jobs: list[Job] = []
    place: dict[str, int] = {}  # the number of a job's stage
    wanted: set[str] = set()  # what jobs so far read of records that had no job yet: another level's, or a mistake
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # jobs that wait for the same ones share one tuple
    for number, stage in enumerate(stages):
        steps, records = stage.of_records()
        for record in records:
            active = plan(steps(), record, settings).steps
            if not active:
                continue
            before = tuple(dict.fromkeys(predecessors(active, record, settings)))
            after = tuple(name for name in before if place.get(name, number) < number)
            wanted.update(name for name in before if place.get(name, number) == number)
            jobs.append(
                StepsJob(
                    name=record.basename,
                    subject=subject,
                    settings=settings,
                    context=context,
                    after=shared.setdefault(after, after),
                    memory=max(step.memory(record, settings) for step in active),
                    stage=stage.name,
                    record=record,
                    steps=steps,
                    **({"t1w_steps": t1w_steps} if t1w_steps else {}),
                )
            )
            place[record.basename] = number
    early = sorted(wanted & place.keys())
    if early:
        raise RuntimeError(f"jobs come before {', '.join(early[:5])}, which they read from")
    return jobs


def of_stage(jobs: Sequence[Job], name: str, part: tuple[int, int]) -> list[Job]:
    """Return the jobs of one stage, of its n-th part; all jobs where no stage is named.

    Raises
    ------
    UsageError
        If there is no such stage.
    """
    if not name:
        return list(jobs)
    known = list(dict.fromkeys(job.stage for job in jobs))
    if name not in known:
        raise UsageError(f"--stage {name}: there is no such stage; there are {', '.join(known)}")
    number, count = part
    return [job for job in jobs if job.stage == name][number - 1 :: count]
