"""Whether the memory of a machine, or that of ``--mem``, holds every job by its estimate; said before anything runs."""

from collections.abc import Iterator, Sequence

from bids_app.engine.job import Job, StepsJob

#: Bytes of a gigabyte, as ``--mem`` counts them.
GIGABYTE = 1e9


def too_large(jobs: Sequence[Job], limit: float) -> Iterator[tuple[str, str, float]]:
    """Yield name, most demanding step and estimate (bytes) of each job with work to do that takes more than ``limit``.

    Jobs in which nothing must run are left out. Jobs that take less are not looked at any further.
    """
    for job in jobs:
        step, need = ("", 0) if job.memory <= limit else _most_demanding(job)
        if need > limit:
            yield job.name, step, need


def _most_demanding(job: Job) -> tuple[str, int]:
    """Return the step that takes most of those that must run, and its estimate (bytes); 0 where none must run."""
    if not isinstance(job, StepsJob):
        return "report", 0 if job.unchanged() else job.memory
    record, settings = job.record, job.settings
    needs = [(s.memory(record, settings), s.name) for s in job.chain().unfinished() if s.makes(record, settings)]
    need, name = max(needs, default=(0, ""))
    return name, need


def refusals(jobs: Sequence[Job], limit: float) -> list[str]:
    """Return a sentence for each job that cannot stay within ``--mem``."""
    return [
        f"{name}: step {step} takes about {need / GIGABYTE:.1f} GB of memory by estimate, and --mem allows "
        f"{limit / GIGABYTE:g} GB: raise --mem, or leave this out with --participant-label or --bids-filter-file"
        for name, step, need in too_large(jobs, limit)
    ]


def warnings(jobs: Sequence[Job], free: float) -> list[str]:
    """Return a sentence for each job that takes more memory by estimate than is free now."""
    return [
        f"{name}: step {step} takes about {need / GIGABYTE:.1f} GB of memory by estimate, and "
        f"{free / GIGABYTE:.1f} GB are free now: close other programs or use a machine with more, else it may be killed"
        for name, step, need in too_large(jobs, free)
    ]
