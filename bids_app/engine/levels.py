"""What each level runs: the stages of a participant and of the group, their jobs, and the reports at the end."""

from collections.abc import Sequence
from dataclasses import replace

from bids_app import steps
from bids_app.engine.earlier import steps_by_job
from bids_app.engine.graph import AnyStage, jobs_of, stage
from bids_app.engine.job import Job, ReportJob
from bids_app.engine.template import template_stages
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.records import Subject
from bids_app.model.results import JobResult, Payload, Report, StepFailure
from bids_app.model.settings import Settings
from bids_app.model.template import Space

#: The stages of the group level that are there whatever the settings say.
FIRST_STAGE, REPORT_STAGE = "tables", "report"
_REPORT_BYTES = 1_000_000_000


def participant_stages(subject: Subject) -> list[AnyStage]:
    """Return the stages of one participant: the anatomical images that runs use, and the runs."""
    images = dict.fromkeys(run.t1w for run in subject.runs if run.t1w is not None)
    return [
        stage("anatomical", steps.anatomical_steps, tuple(images)),
        stage("participant", steps.participant_steps, subject.runs),
    ]


def participant_jobs(
    subjects: Sequence[Subject],
    settings: Settings,
    context: Context,
    report: Report[Subject] | None = None,
    reports_only: bool = False,
) -> list[Job]:
    """Return the jobs of the level ``participant``, in the order in which they are best started."""
    return [job for subject in subjects for job in _jobs_of_subject(subject, settings, context, report, reports_only)]


def _jobs_of_subject(
    subject: Subject, settings: Settings, context: Context, report: Report[Subject] | None, reports_only: bool
) -> list[Job]:
    jobs = jobs_of(participant_stages(subject), settings, context, subject.label, steps.anatomical_steps)
    after = tuple(job.name for job in jobs)
    if reports_only:
        jobs = []
    if report is not None:
        jobs.append(
            ReportJob(
                name=f"sub-{subject.label}_report",
                subject=subject.label,
                settings=settings,
                context=replace(context, force=True) if reports_only else context,
                after=after,
                stage=REPORT_STAGE,
                record=subject,
                report=report,
            )
        )
    return jobs


def group_stages(cohort: Cohort, settings: Settings, context: Context) -> list[AnyStage]:
    """Return the stages of the group level: tables first, which wait for no template, then those of the template."""
    return [stage(FIRST_STAGE, steps.group_steps, (cohort,)), *template_stages(cohort, settings, context)]


def group_jobs(
    cohort: Cohort,
    settings: Settings,
    context: Context,
    report: Report[Cohort],
    reports_only: bool = False,
    refusal: str = "",
) -> list[Job]:
    """Return the jobs of the level ``group``; ``refusal`` says on the page why the level has not been run."""
    stages = group_stages(cohort, settings, context) if cohort.runs else []
    jobs = jobs_of(stages, settings, context)
    spaces = [record.template for stage in stages for record in stage.records if isinstance(record, Space)]
    # Without a refusal, that of an earlier page does not stand any more.
    participants = JobResult("participants", "", failures=[StepFailure("completeness", refusal)] if refusal else [])
    payload = Payload(
        spaces=tuple(dict.fromkeys(spaces)), results={participants.job: participants}, expected=steps_by_job(jobs)
    )
    last = ReportJob(
        name="group_report",
        settings=settings,
        context=replace(context, force=True) if reports_only else context,
        after=tuple(job.name for job in jobs),
        memory=_REPORT_BYTES,
        stage=REPORT_STAGE,
        record=cohort,
        report=report,
        payload=payload,
    )
    return [*([] if reports_only else jobs), last]
