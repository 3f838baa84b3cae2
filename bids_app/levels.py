"""What each level runs: jobs, and which of them wait for which."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bids_app.config import Config
from bids_app.dataset.cohort import Cohort
from bids_app.dataset.models import Anatomical, GreRun, Subject
from bids_app.execution.cache import Context
from bids_app.execution.worker import Job, load

#: The steps of each kind of record, as a worker finds them.
_ANATOMICAL, _PARTICIPANT, _GROUP = (f"bids_app.steps:{name}" for name in ("ANATOMICAL", "PARTICIPANT", "GROUP"))
#: Functions that are called once for each subject when all its runs have ended, spelled ``package.module:NAME``:
#: ``f(subject, settings, context, payload) -> warnings``; ``payload["results"]`` holds the JobResult of each run.
#: ``NAME_done`` beside it, where there is one, says from the same arguments whether there is nothing to do.
AFTER_SUBJECT: tuple[str, ...] = ("bids_app.report.subject:report",)


def jobs_of(subjects: Sequence[Subject], config: Config) -> list[Job]:
    """Return the jobs of the level ``participant``, in the order in which they are best started."""
    return [job for subject in subjects for job in _participant_jobs(subject, config)]


def group_jobs(cohort: Cohort, config: Config) -> list[Job]:
    """Return the jobs of the level ``group``."""
    return _job(cohort, "", _GROUP, config)


def _participant_jobs(subject: Subject, config: Config) -> list[Job]:
    jobs: list[Job] = []
    for image in dict.fromkeys(run.t1w for run in subject.runs):
        if image is not None:
            jobs += _job(image, subject.label, _ANATOMICAL, config)
    anatomical = {job.name for job in jobs}
    for run in subject.runs:
        after = (run.t1w.basename,) if run.t1w and run.t1w.basename in anatomical else ()
        jobs += _job(run, subject.label, _PARTICIPANT, config, after)
    own = tuple(job.name for job in jobs)
    if config.reports_only:
        jobs = []
    for function in AFTER_SUBJECT:
        name = f"sub-{subject.label}_{function.rpartition(':')[2]}"
        context = replace(_context(config), force=True) if config.reports_only else _context(config)
        jobs.append(Job(name, subject.label, subject, config.settings, context, function=function, after=own))
    return jobs


def _job(
    record: Anatomical | GreRun | Cohort, subject: str, steps: str, config: Config, after: tuple[str, ...] = ()
) -> list[Job]:
    """Return the job of one record; none where no step makes anything of it."""
    active = [step for step in load(steps) if step.makes(record, config.settings)]
    if not active:
        return []
    memory = max(step.memory(record, config.settings) for step in active)
    return [
        Job(
            record.basename, subject, record, config.settings, _context(config), steps=steps,
            t1w_steps=_ANATOMICAL, after=after, memory=memory,
        )
    ]  # fmt: skip


def _context(config: Config) -> Context:
    return Context(config.bids_dir, config.output_dir, config.work_dir, config.omp_nthreads, config.force)


def step_names(record: Any, steps: str, config: Config) -> list[str]:
    """Return the names of the steps that apply to a record."""
    return [step.name for step in load(steps) if step.makes(record, config.settings)]
