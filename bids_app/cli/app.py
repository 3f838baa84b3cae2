"""From a Config to an exit code: find, check, run every job, sum up."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bids_app.adapters import brain_extraction
from bids_app.cli import segmentations
from bids_app.cli.cohort import CohortSearch
from bids_app.cli.config import Config
from bids_app.cli.device import with_device
from bids_app.cli.early import check_cohort, check_plans
from bids_app.cli.event_log import EventLog
from bids_app.cli.network import with_network
from bids_app.cli.session import Session
from bids_app.cli.temporary import ensure_temporary_folder
from bids_app.dataset.checks import preflight, without_magnitudes_alone
from bids_app.dataset.derived import USES, with_given
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.query import misnamed_folders
from bids_app.dataset.separation import problems_of, single_step
from bids_app.dataset.subjects import selected_subjects
from bids_app.dataset.validation import InputValidation
from bids_app.engine.earlier import remove_earlier_tables
from bids_app.engine.events import EventHandler
from bids_app.engine.fit import GIGABYTE, refusals, warnings
from bids_app.engine.graph import of_stage
from bids_app.engine.job import Job, StepsJob
from bids_app.engine.levels import FIRST_STAGE, REPORT_STAGE, group_jobs, participant_jobs
from bids_app.engine.memory import available_memory
from bids_app.engine.runner import Policy, run_jobs
from bids_app.errors import InputRefusedError
from bids_app.model.cohort import Cohort
from bids_app.model.records import GreRun, Subject
from bids_app.model.results import JobResult, Report
from bids_app.model.settings import Settings
from bids_app.model.step import plan
from bids_app.report.group import page as group_page
from bids_app.report.participant import page as participant_page
from bids_app.steps import participant_steps

#: The pages at the end of each level.
SUBJECT_REPORT: Report[Subject] = Report(participant_page.report, participant_page.report_done)
GROUP_REPORT: Report[Cohort] = Report(group_page.report, group_page.report_done)


def run(config: Config) -> int:
    """Do what the command line asked for and return the exit code."""
    if config.cluster.write is not None:
        from bids_app.cli.submission import Submission

        submission = Submission(config.levels, config.selection, config.settings, config.context, config.cluster)
        return submission.write(*config.cluster.write)
    ensure_temporary_folder(config.work_dir)
    if "convert" not in config.levels:
        return run_levels(config)
    from bids_app.cli.conversion import convert_first

    code, config = convert_first(config)
    return max(code, run_levels(config)) if config.levels else code


def run_levels(config: Config) -> int:
    """Do the levels after the conversion, one after the other, and return the exit code."""
    if "participant" in config.levels and "group" in config.levels and not config.reports_only:
        check_plans(config.selection, config.settings, config.context)
    code = _participant_level(config) if "participant" in config.levels else 0
    if "group" not in config.levels or (code and config.stop_on_first_crash):
        return code
    if config.dry_run and "participant" in config.levels:
        print("\ngroup: what the participant level has made by then")
        return code
    try:
        return max(code, _group_level(config))
    except InputRefusedError as error:
        if not code:
            raise
        print(f"qsm-bids-app: {error}", file=sys.stderr)  # what failed before has its exit code already
        return code


def _group_level(config: Config) -> int:
    # Reports name who is missing: that must not keep them from being written again.
    search = CohortSearch(
        config.bids_dir,
        config.output_dir,
        config.selection,
        config.stage,
        replace(config.group, allow_missing=True, allow_mixed=True) if config.reports_only else config.group,
        with_images=config.settings.group.choice.template != "none",
        keeps=not config.dry_run,
        threads=config.nprocs * config.omp_nthreads,
    )
    cohort, refusal = _cohort(search, config.stage_patience)
    if config.stage in ("", FIRST_STAGE) and not config.reports_only:
        check_cohort(cohort, config.settings, config.output_dir)
    jobs = group_jobs(cohort, config.settings, config.context, GROUP_REPORT, config.reports_only, refusal)
    every, jobs = jobs, of_stage(jobs, config.stage, config.stage_part)
    _check_memory(jobs, config)
    if config.dry_run:
        for entry in cohort.entries:
            print(entry.sentence)
        for remark in cohort.remarks:
            print(f"warning: {remark}")
        for job in jobs:
            print(f"{job.name} (stage {job.stage}): {', '.join(job.step_names)}")
        return 0

    def remove_earlier() -> list[str]:
        if config.reports_only or config.stage not in ("", FIRST_STAGE):
            return []
        removed = remove_earlier_tables(every, config.output_dir)
        return [f"{path.name}: removed, an earlier command made it and this one does not" for path in removed]

    facts = [entry.sentence for entry in cohort.entries]
    return _session(config, config.settings).process(jobs, facts, prepare=remove_earlier)


def _cohort(search: CohortSearch, patience: float) -> tuple[Cohort, str]:
    """Return the cohort; for the stage of the report also where the group was refused, with the reason for the page."""
    try:
        return search.wait(patience), ""
    except InputRefusedError as error:
        if search.stage != REPORT_STAGE:
            raise
        everybody = replace(search, stage="", keeps=False)
        try:
            everybody.now()
            reasons = error.problems  # everybody is there, but the stage tables has not run
        except InputRefusedError as why:
            reasons = why.problems
        return everybody.everybody(), "; ".join(reasons)


@dataclass(frozen=True)
class Checked:
    """What the level ``participant`` would work on, and everything that is wrong with it."""

    subjects: tuple[Subject, ...]
    settings: Settings
    skipped: tuple[str, ...]  # a sentence for every run that is left out
    problems: tuple[str, ...]
    warning: str = ""


def check_participants(config: Config) -> Checked:
    """Find the runs of the selected participants and check them; nothing is written.

    Raises
    ------
    UsageError, ToolMissingError
        If a program or an atlas of the chosen segmentation is missing.
    InputRefusedError
        If the folder is no BIDS dataset, or a participant or session is unknown.
    """
    chosen = config.selection
    coils = config.settings.field.choice.coils == "combine"
    subjects = selected_subjects(config.bids_dir, chosen.participants, chosen.sessions, chosen.filters, coils)
    subjects = tuple(_with_given(subject, config) for subject in subjects)
    subjects, skipped = without_magnitudes_alone(subjects)
    skipped = [*misnamed_folders(config.bids_dir), *skipped]
    needs_t1w = tuple(config.settings.segmentation.choice.which) != ("none",)
    needs_t1w |= any(image.is_needed for subject in subjects for image in subject.t1w)
    problems = preflight(subjects, config.bids_dir, config.output_dir, chosen.participants, needs_t1w)
    if problems:
        return Checked(tuple(subjects), config.settings, tuple(skipped), tuple(problems))
    if program := config.settings.brain_extraction.choice.program:
        brain_extraction.require(program)
    settings, note = with_device(with_network(config.settings), config.cluster.engine is not None)
    settings, warning = segmentations.decided(settings, config.bids_dir)
    subjects = tuple(
        replace(subject, runs=tuple(_completed(run, settings) for run in subject.runs)) for subject in subjects
    )
    segmentations.check_reference(subjects, settings)
    problems = [*problems_of(subjects, settings), *single_step(subjects, settings)]
    return Checked(subjects, settings, tuple(skipped), tuple(problems), " ".join(filter(None, (note, warning))))


def _participant_level(config: Config) -> int:
    checked = check_participants(config)
    for sentence in checked.skipped:
        print(sentence)
    if checked.problems:
        raise InputRefusedError(checked.problems)
    subjects, settings, warning = checked.subjects, checked.settings, checked.warning
    jobs = participant_jobs(subjects, settings, config.context, SUBJECT_REPORT, config.reports_only)
    _check_memory(jobs, config)
    if config.dry_run:
        _print_plan(settings, subjects, jobs)
        if warning:
            print(f"\nwarning: {warning}")
        return 0
    validation = InputValidation(config.bids_dir) if config.validate_input else None
    try:
        lines = [f"{run.basename}: anatomical image: {run.t1w_choice}" for s in subjects for run in s.runs]
        return _session(config, settings).process(jobs, lines, validation, warning)
    finally:
        if validation is not None:
            validation.stop()


def _check_memory(jobs: Sequence[Job], config: Config) -> None:
    """Refuse jobs that ``--mem`` cannot hold; without it warn of those that take more memory than is free."""
    if config.cluster.engine is not None:  # the workers' nodes have memory of their own
        return
    if config.mem_gb is None:
        for sentence in warnings(jobs, available_memory()):
            print(f"qsm-bids-app: warning: {sentence}", file=sys.stderr)
    elif problems := refusals(jobs, config.mem_gb * GIGABYTE):
        raise InputRefusedError(problems)


def _with_given(subject: Subject, config: Config) -> Subject:
    """Return a subject with what other datasets have for its runs; T1w images that bring masks to them are needed."""
    uses = config.derivatives_use or USES
    runs = [with_given(run, config.derivatives, config.output_dir, uses, config.mask_desc) for run in subject.runs]
    needed = {run.t1w for run in runs if run.t1w is not None and run.given_mask and run.given_mask.space == "t1w"}
    images = {image: replace(image, is_needed=image in needed) for image in subject.t1w}
    runs = [run if run.t1w is None else replace(run, t1w=images[run.t1w]) for run in runs]
    return replace(subject, runs=tuple(runs), t1w=tuple(images.values()))


def _completed(run: GreRun, settings: Settings) -> GreRun:
    """Return a run with what the user should know about it."""
    planned = plan(participant_steps(), run, settings)
    notes = []
    if planned.replaced and run.slice_axis is None:
        names = ", ".join(step.name for step in planned.replaced)
        notes.append(f"maps that exist stand for these steps, which are skipped: {names}")
    if planned.left_out and run.slice_axis is None:
        names = ", ".join(step.name for step in planned.left_out)
        notes.append(f"steps that need what the maps do not give are left out: {names}")
    return replace(run, remarks=(*run.remarks, *notes, *remarks(run), *segmentations.remarks(run, settings)))


def _session(config: Config, settings: Settings) -> Session:
    """Return what runs the jobs of a level."""
    return Session(
        config.context,
        settings,
        config.command,
        _engine(config),
        nprocs=config.nprocs,
        mem_gb=config.mem_gb,
        stop_on_first_crash=config.stop_on_first_crash,
        verbosity=config.verbosity,
        is_scratch=config.scratch,
        events=EventLog(config.events),
    )


def _engine(config: Config) -> Callable[[Sequence[Job], Policy, EventHandler], dict[str, JobResult]]:
    """Return what runs jobs: processes of this machine, or a cluster."""
    cluster = config.cluster
    if cluster.engine is None:
        return run_jobs
    from bids_app.engine.dask import ClusterEngine

    return ClusterEngine(
        cluster.engine,
        config_file=cluster.config,
        account=cluster.account,
        queue=cluster.queue,
        options=cluster.options,
        modules=cluster.modules,
        command=cluster.command,
        threads=config.omp_nthreads,
        at_once=cluster.at_once,
        log_dir=config.output_dir / "logs" / "cluster",
        say=print,
    )


def _print_plan(settings: Settings, subjects: Sequence[Subject], jobs: Sequence[Job]) -> None:
    steps = {job.name: job.step_names for job in jobs}
    for run in (run for subject in subjects for run in subject.runs):
        names = ", ".join(steps.get(run.basename, ()))
        print(f"{run.basename}: {len(run.echoes)} echoes, {run.field_strength} T: {names}")
        print(f"  anatomical image: {run.t1w_choice}")
        for remark in run.remarks:
            print(f"  {remark}")
    for job in jobs:
        if not (isinstance(job, StepsJob) and isinstance(job.record, GreRun)):
            print(f"{job.name}: {', '.join(job.step_names)}")
    print("\neffective parameters:")
    for section, values in settings.to_mapping().items():
        for name, value in values.items():
            print(f"  {section}.{name} = {list(value) if isinstance(value, tuple) else value}")
