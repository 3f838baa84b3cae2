"""A job: what one process does, the steps over one record or a report when other jobs have ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Self, TypeVar

from bids_app.engine.chain import Chain
from bids_app.engine.claims import working
from bids_app.engine.execution import Check, OnEvent
from bids_app.model.context import Context
from bids_app.model.records import Anatomical, Record
from bids_app.model.results import JobResult, Payload, Report
from bids_app.model.settings import Settings
from bids_app.model.step import Step, StepList, plan

R = TypeVar("R", bound=Record)
S = TypeVar("S")


def _no_t1w_steps() -> tuple[Step[Anatomical], ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all jobs have: a name, where and with which settings they run, and what they wait for."""

    name: str
    subject: str = ""  # the participant's label; empty: of the group
    settings: Settings
    context: Context
    after: tuple[str, ...] = ()  # names of jobs that must have ended before
    memory: int = 0  # estimated peak, bytes
    stage: str = ""

    @property
    def kind(self) -> str:
        """Jobs of one kind take about as long as each other."""
        return type(self).__name__

    @property
    def step_names(self) -> tuple[str, ...]:
        """The steps that apply, by name."""
        return ()

    def with_results(self, results: Mapping[str, JobResult]) -> Self:
        """Return the job as it is sent when those before it have ended with ``results``."""
        return self

    @property
    def is_shared(self) -> bool:
        """Whether several elements of an array may have this very job."""
        return False

    def unchanged(self) -> JobResult | None:
        """Return the result where there is nothing to do, else None."""
        return None

    def do(self, on_event: OnEvent) -> JobResult:
        """Do the work and return what became of it."""
        raise NotImplementedError

    def sweep(self) -> None:
        """Remove what a killed process has left half-written where this job writes."""


@dataclass(frozen=True, kw_only=True)
class StepsJob(Job, Generic[R]):
    """The steps over one record; ``steps`` is a function of a module, which is sent by its name."""

    record: R
    steps: StepList[R]
    #: The steps that make the products of the record's anatomical image.
    t1w_steps: StepList[Anatomical] = _no_t1w_steps

    @property
    def kind(self) -> str:
        """Jobs over records of one class take about as long as each other."""
        return type(self.record).__name__

    @property
    def step_names(self) -> tuple[str, ...]:
        """The steps that apply, by name."""
        return tuple(step.name for step in plan(self.steps(), self.record, self.settings).steps)

    @property
    def is_shared(self) -> bool:
        """Sessions of a participant may use one anatomical image."""
        return isinstance(self.record, Anatomical)

    def chain(self, on_event: OnEvent = lambda kind, step, done, total: None, check: Check = lambda: None) -> Chain[R]:
        """Return the job's chain of steps; ``check`` is called before anything is written."""
        return Chain(self.steps(), self.record, self.settings, self.context, on_event, self.t1w_steps(), check)

    def unchanged(self) -> JobResult | None:
        """Return the result where no step must run, else None."""
        chain = self.chain()
        if chain.unfinished() or chain.others.outdated(chain.records, chain.hashes):
            return None
        done = chain.take_unchanged()
        return JobResult(self.name, self.subject, skipped=done.skipped, warnings=done.warnings)

    def do(self, on_event: OnEvent) -> JobResult:
        """Run the steps that must run, and compare what they have written with their records."""
        with working(self.context, self.name, self.is_shared) as check:
            chain = self.chain(on_event, check)
            chain.run()
            done = chain.verify()
        return JobResult(
            self.name, self.subject, done.ran, done.skipped, done.warnings, done.failures, peak_bytes=done.peak_bytes
        )

    def sweep(self) -> None:
        """Remove what a killed process has left half-written where the steps write."""
        self.chain().sweep()


@dataclass(frozen=True, kw_only=True)
class ReportJob(Job, Generic[S]):
    """A page about a participant or the group, written when the jobs before it have ended, well or not."""

    record: S
    report: Report[S]
    payload: Payload = field(default_factory=lambda: Payload())

    @property
    def step_names(self) -> tuple[str, ...]:
        """A report counts as one step."""
        return ("report",)

    @property
    def is_shared(self) -> bool:
        """Sessions of a participant have one page."""
        return bool(self.subject)

    def with_results(self, results: Mapping[str, JobResult]) -> Self:
        """Return the job with the results of those that it comes after."""
        ended = {name: results[name] for name in self.after if name in results}
        known = self.payload.get("results", {})
        return replace(self, payload=Payload(**{**self.payload, "results": {**known, **ended}}))

    def unchanged(self) -> JobResult | None:
        """Return the result where the page shows what there is now, else None."""
        if self.context.force or not self.report.is_done(self.record, self.settings, self.context, self.payload):
            return None
        return JobResult(self.name, self.subject, skipped=["report"])

    def do(self, on_event: OnEvent) -> JobResult:
        """Write the page."""
        with working(self.context, self.name, self.is_shared):
            warnings = self.report.write(self.record, self.settings, self.context, self.payload)
        return JobResult(self.name, self.subject, ran=["report"], warnings=warnings)
