"""What each level runs: jobs, and which of them wait for which."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.cli.config import Config
from bids_app.cli.manual_segmentation import manual_segmentation_of
from bids_app.dataset.cohort import Cohort, GroupRun
from bids_app.dataset.coils import with_coils
from bids_app.dataset.query import find_subjects
from bids_app.dataset.template import (
    Iteration,
    ManualSegmentation,
    ManualSegmentationRun,
    NormalizedRun,
    Registration,
    Space,
    StandardSpace,
    TemplateSubject,
    Voxelwise,
    space_files,
    template_files,
)
from bids_app.engine.cache import Context
from bids_app.engine.worker import Job, load
from bids_app.errors import UsageError
from bids_app.model.records import Subject

#: The steps of each kind of record, as a worker finds them.
_ANATOMICAL, _PARTICIPANT, _GROUP = (f"bids_app.steps:{name}" for name in ("ANATOMICAL", "PARTICIPANT", "GROUP"))
#: What the names of the template's steps begin with.
_TEMPLATE = "bids_app.steps:TEMPLATE_"
#: Functions that are called once for each subject when all its runs have ended, spelled ``package.module:NAME``:
#: ``f(subject, settings, context, payload) -> warnings``; ``payload["results"]`` holds the JobResult of each run.
#: ``NAME_done`` beside it, where there is one, says from the same arguments whether there is nothing to do.
AFTER_SUBJECT: tuple[str, ...] = ("bids_app.report.participant.page:report",)
#: The same, called once when all jobs of the group have ended, over the cohort; ``payload["spaces"]``: its templates.
AFTER_GROUP = "bids_app.report.group.page:report"


def subjects_of(config: Config) -> tuple[Subject, ...]:
    """Return what the dataset holds of the participants that the command line names."""
    found = find_subjects(config.bids_dir, config.participants, config.sessions, config.filters)
    return with_coils(found) if config.settings.field.choice.coils == "combine" else found


def jobs_of(subjects: Sequence[Subject], config: Config) -> list[Job]:
    """Return the jobs of the level ``participant``, in the order in which they are best started."""
    return [job for subject in subjects for job in _participant_jobs(subject, config)]


def group_jobs(cohort: Cohort, config: Config) -> list[Job]:
    """Return the jobs of the level ``group``, in stages: tables first, which wait for no template."""
    jobs = _job(cohort, "", _GROUP, config, stage="tables")
    for name, steps, records in stages(cohort, config):
        before = tuple(job.name for job in jobs if job.stage == last) if (last := _last_stage(jobs)) != "tables" else ()
        for record in records:
            jobs += _job(record, getattr(record, "subject", ""), steps, config, before, name)
    return [*([] if config.reports_only else jobs), _group_report(cohort, jobs, config)]


def _group_report(cohort: Cohort, jobs: Sequence[Job], config: Config) -> Job:
    spaces = tuple(dict.fromkeys(job.record.template for job in jobs if isinstance(job.record, Space)))
    context = replace(_context(config), force=config.force or config.reports_only)
    return Job(
        "group_report",
        "",
        cohort,
        config.settings,
        context,
        function=AFTER_GROUP,
        payload={"spaces": spaces},
        after=tuple(job.name for job in jobs),
        memory=1_000_000_000,
        stage="report",
    )


def of_stage(jobs: Sequence[Job], stage: str, part: tuple[int, int]) -> list[Job]:
    """Return the jobs of one stage, of its n-th part; all jobs where no stage is named.

    Raises
    ------
    UsageError
        If there is no such stage.
    """
    if not stage:
        return list(jobs)
    known = list(dict.fromkeys(job.stage for job in jobs))
    if stage not in known:
        raise UsageError(f"--stage {stage}: there is no such stage; there are {', '.join(known)}")
    number, count = part
    return [job for job in jobs if job.stage == stage][number - 1 :: count]


def participant_steps() -> set[str]:
    """Return the names of all steps of the level ``participant``."""
    return {step.name for steps in (_ANATOMICAL, _PARTICIPANT) for step in load(steps)}


def group_plan(cohort: Cohort, config: Config) -> list[tuple[str, str, int, int]]:
    """Return the stages of the group level without making their jobs: name, steps, records, estimated memory (bytes).

    One record means a single job; of more each is a job of its own that waits for no other of its stage.
    """
    every = [("tables", _GROUP, [cohort]), *stages(cohort, config)]
    return [(name, steps, len(records), memory_of(steps, records[0], config)) for name, steps, records in every]


def memory_of(steps: str, record: Any, config: Config) -> int:
    """Return the largest estimate of the steps of a record, in bytes."""
    return max(step.memory(record, config.settings) for step in load(steps))


def _last_stage(jobs: Sequence[Job]) -> str:
    return jobs[-1].stage if jobs else "tables"


def stages(cohort: Cohort, config: Config) -> list[tuple[str, str, list[Any]]]:
    """Return the stages of the template: name, steps, records. Each waits for the one before."""
    choice = config.settings.group.choice
    by_subject: dict[str, list[GroupRun]] = {}
    for run in cohort.runs:
        by_subject.setdefault(run.subject, []).append(run)
    members = tuple(TemplateSubject(subject, tuple(runs)) for subject, runs in by_subject.items())
    if choice.template == "none" or (choice.template == "build" and len(members) < 2):
        return []
    rounds: tuple[Iteration, ...] = ()
    target: Iteration | None = None
    files: tuple[tuple[str, Path], ...] = ()
    found: list[tuple[str, str, list[Any]]] = [("members", f"{_TEMPLATE}SUBJECT", list(members))]
    if choice.template == "build":
        rounds = _rounds(choice, members)
        name, target = choice.name, rounds[-1]
        # What one affine registration each would give is found beside the first round, to compare with.
        single = (Iteration(name, 1, "single", members, rounds[0]),) if choice.single_pass else ()
        for one in rounds:
            both = [one, *(single if one.number == 1 else ())]
            if one.before is not None:
                records = [each.registration(member) for each in both for member in members]
                found.append((f"register-{one.number}", f"{_TEMPLATE}REGISTRATION", records))
            found.append((f"average-{one.number}", f"{_TEMPLATE}AVERAGE", both))
        rounds += single
    else:
        name, files = template_files(choice.template)
    label = f"to{name}"
    final = {m.subject: Registration(m, target, "final", label, files=files) for m in members}
    found.append(("register-template", f"{_TEMPLATE}REGISTRATION", list(final.values())))
    space = Space(name, tuple(NormalizedRun(run, final[run.subject], name) for run in cohort.runs), rounds)
    found.append(("maps", f"{_TEMPLATE}RUN", list(space.runs)))
    found.append(("average-maps", f"{_TEMPLATE}MAPS", [space]))
    if choice.dseg:
        found += _drawn_stages(cohort, config, space, ManualSegmentation("", Path(), None, name, target, files))
    if choice.output_space:
        onward, further = _further(choice.output_space, space, target, files)
        found.append(("register-space", f"{_TEMPLATE}STANDARD_SPACE", [onward]))
        found.append(("maps-space", f"{_TEMPLATE}RUN", list(further.runs)))
        found.append(("average-maps-space", f"{_TEMPLATE}MAPS", [further]))
        space = further
    if config.settings.voxelwise.choice.run:
        found.append(("voxelwise", f"{_TEMPLATE}VOXELWISE", [Voxelwise(space, cohort.participants, cohort.sessions)]))
    return found


def _drawn_stages(
    cohort: Cohort, config: Config, space: Space, template: ManualSegmentation
) -> list[tuple[str, str, list[Any]]]:
    """Return the stages of a segmentation that was drawn on the template."""
    drawing = manual_segmentation_of(config, cohort, template)
    drawn = tuple(ManualSegmentationRun(run, drawing) for run in space.runs)
    return [
        ("drawing", f"{_TEMPLATE}MANUAL", [drawing]),
        ("drawn", f"{_TEMPLATE}MANUAL_RUN", list(drawn)),
        ("drawn-tables", f"{_TEMPLATE}TABLES", [replace(cohort, drawn=drawn)]),
    ]


def _further(
    spec: str, space: Space, target: Iteration | None, files: tuple[tuple[str, Path], ...]
) -> tuple[StandardSpace, Space]:
    """Return the template's registration to an output space, and all runs there."""
    name, images = space_files(spec)
    if name == space.template:
        raise UsageError(f"--output-space {spec}: the maps are in that space already, by --template")
    onward = StandardSpace(space.template, name, images, target, files)
    return onward, Space(name, tuple(NormalizedRun(r.run, r.registration, name, onward) for r in space.runs))


def _rounds(choice: Any, members: tuple[TemplateSubject, ...]) -> tuple[Iteration, ...]:
    """Return the averages in order: centres of mass, rigid, affine, SyN."""
    kinds = ["start", *["rigid", *["affine"] * (choice.linear_iterations - 1)], *["syn"] * choice.syn_iterations]
    rounds: list[Iteration] = []
    for number, kind in enumerate(kinds):
        before = rounds[-1] if rounds else None
        start = before if before is None or before.kind in ("rigid", "affine") else before.start
        start = None if start is None or start.kind == "start" else start
        rounds.append(Iteration(choice.name, number, kind, members, before, number == len(kinds) - 1, start))
    return tuple(rounds)


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
    record: Any, subject: str, steps: str, config: Config, after: tuple[str, ...] = (), stage: str = ""
) -> list[Job]:
    """Return the job of one record; none where no step makes anything of it."""
    active = [step for step in load(steps) if step.makes(record, config.settings)]
    if not active:
        return []
    memory = max(step.memory(record, config.settings) for step in active)
    return [
        Job(
            record.basename,
            subject,
            record,
            config.settings,
            _context(config),
            steps=steps,
            t1w_steps=_ANATOMICAL,
            after=after,
            memory=memory,
            stage=stage,
        )
    ]


def _context(config: Config) -> Context:
    shared = config.output_dir / "work" if config.scratch else None
    return Context(config.bids_dir, config.output_dir, config.work_dir, config.omp_nthreads, config.force, shared)


def step_names(record: Any, steps: str, config: Config) -> list[str]:
    """Return the names of the steps that apply to a record."""
    return [step.name for step in load(steps) if step.makes(record, config.settings)]
