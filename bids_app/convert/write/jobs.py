"""Sessions one by one: plan, convert, place, note; the same for DICOM and for NIfTI."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bids_app.convert.classify.series import Series
from bids_app.convert.model import (
    CONVERTED,
    FAILED,
    PLANNED,
    SKIPPED,
    ConvertRequest,
    OnEvent,
    Problem,
    SeriesOutcome,
    in_words,
)
from bids_app.convert.name.patients import Place, sanitise
from bids_app.convert.name.plan import SeriesPlan
from bids_app.convert.name.privacy import Redactor, short_hash
from bids_app.convert.name.series_table import SKIP, SeriesTable, corrected
from bids_app.convert.write import dataset_files, late_series, session
from bids_app.convert.write.dcm2niix import sidecar
from bids_app.errors import QsmAppError, UsageError


@dataclass(frozen=True)
class Job:
    """One subject and session with its series, and where its studies came from."""

    subject: str
    session: str | None
    series: tuple[Series, ...]
    places: tuple[tuple[str, Place], ...]  # study UID and its place


@dataclass(frozen=True)
class Planned:
    """What the way in says about the series of a job: plans, refusals, and what else there is to say, by series UID."""

    plans: tuple[SeriesPlan, ...]
    refused: Mapping[str, str]
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class Intake:
    """Everything about the input that the jobs share."""

    request: ConvertRequest
    logical: Mapping[Path, PurePosixPath]
    redact: Redactor
    broken_folders: frozenset[PurePosixPath]
    plan: Callable[[Job, Mapping[str, str]], Planned]
    make: Callable[[Sequence[SeriesPlan], Job, Path], tuple[Path, session.Made]]
    table: SeriesTable


def make_jobs(series: Sequence[Series], places: Mapping[str, Place], request: ConvertRequest) -> list[Job]:
    """Group series by subject and session; the labels asked for choose among them."""
    by_study: dict[str, list[Series]] = defaultdict(list)
    for item in series:
        by_study[item.facts.study_uid].append(item)
    groups: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for uid in by_study:
        groups[places[uid].subject, places[uid].session].append(uid)
    check_labels(request, list(groups))
    jobs = []
    for (subject, ses), uids in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] or "")):
        if is_wanted(request, subject, ses):
            members = [s for u in uids for s in by_study[u]]
            members.sort(key=lambda s: (s.facts.date_time, s.facts.number))
            jobs.append(Job(subject, ses, tuple(members), tuple((u, places[u]) for u in uids)))
    return jobs


@contextmanager
def claimed_jobs(
    request: ConvertRequest, plan: Callable[[], tuple[list[Job], list[str]]]
) -> Iterator[tuple[list[Job], list[str]]]:
    """Claim the subjects of the jobs, and give the jobs and notes that ``plan`` makes then.

    The names of sessions depend on what is in the dataset: another command may have added studies before the claim.
    """
    jobs, notes = plan()
    if request.dry_run:
        yield jobs, notes
        return
    with request.claim({job.subject for job in jobs}):
        yield plan()


def check_account(
    series: Sequence[Series],
    jobs: Sequence[Job],
    outcomes: Sequence[SeriesOutcome],
    problems: list[Problem],
    notes: list[str],
) -> None:
    """Compare the files that came in with those that the report accounts for; a difference is a problem."""
    came, wanted = (sum(len(s.instances) for s in some) for some in (series, [s for job in jobs for s in job.series]))
    if came > wanted:
        count = len(series) - sum(len(job.series) for job in jobs)
        notes.append(
            f"{came - wanted} file(s) of {count} series belong to participants or sessions that were not asked for "
            "and were left aside."
        )
    reported = sum(o.files for o in outcomes)
    if reported != wanted:
        problems.append(
            Problem(".", f"{wanted} files came in and {reported} are accounted for: this is an error of the app")
        )


def check_labels(request: ConvertRequest, labels: Sequence[tuple[str, str | None]]) -> None:
    """Raise UsageError when a label that is asked for is not among the subjects and sessions found."""
    subjects, sessions = {s for s, _ in labels}, {x for _, x in labels}
    missing = [x for x in request.participant_labels if sanitise(x) not in subjects]
    if missing:
        raise UsageError(
            f"--participant-label {' '.join(missing)}: not found; the scans are of {', '.join(sorted(subjects))}."
        )
    missing = [x for x in request.session_labels if sanitise(x) not in sessions]
    if missing:
        known = ", ".join(sorted(x or "(no session)" for x in sessions))
        raise UsageError(f"--session-label {' '.join(missing)}: not found; the scans are of {known}.")


def is_wanted(request: ConvertRequest, subject: str, ses: str | None) -> bool:
    """Return whether the labels asked for include this subject and session."""
    subjects = {sanitise(x) for x in request.participant_labels}
    sessions = {sanitise(x) for x in request.session_labels}
    return (not subjects or subject in subjects) and (not sessions or (ses is not None and ses in sessions))


def run_jobs(intake: Intake, jobs: Sequence[Job], scratch: Path, on_event: OnEvent) -> list[SeriesOutcome]:
    """Convert the sessions, several at a time; one that fails does not stop the others."""

    def outcomes_of(numbered: tuple[int, Job]) -> list[SeriesOutcome]:
        number, job = numbered
        label = f"sub-{job.subject}" + (f" ses-{job.session}" if job.session else "")
        try:
            outcomes = run_job(intake, job, scratch / f"session-{number:04d}")
        except Exception as error:
            known = isinstance(error, QsmAppError)
            reason = intake.redact(str(error) if known else f"{type(error).__name__}: {error}")
            outcomes = [_outcome(intake, job, s).with_status(FAILED, reason) for s in job.series]
        on_event(f"{label}: {in_words(outcomes)}")
        return outcomes

    # The work is done by other programs; threads are enough to keep several of them busy.
    with ThreadPoolExecutor(max_workers=max(1, intake.request.nprocs)) as pool:
        return [o for outcomes in pool.map(outcomes_of, enumerate(jobs, start=1)) for o in outcomes]


def run_job(intake: Intake, job: Job, scratch: Path) -> list[SeriesOutcome]:
    """Convert one session; returns the fate of each of its series."""
    request = intake.request
    base = {s.facts.uid: _outcome(intake, job, s) for s in job.series}
    existing = session.existing(request.bids_dir, job.subject, job.session)
    conflict = None if existing else session.layout_conflict(request.bids_dir, job.subject, job.session)
    if conflict:
        return [o.with_status(FAILED, conflict) for o in base.values()]
    job, wishes, remarks, wrong = _with_table(intake.table, job, base)
    planning = intake.plan(job, wishes)
    refused = {**planning.refused, **wrong}
    planned = {p.series.facts.uid: p for p in planning.plans}
    for item in job.series:
        uid, outcome = item.facts.uid, base[item.facts.uid]
        reason = "; ".join(filter(None, (remarks.get(uid, ""), planning.reasons.get(uid, ""))))
        if uid in refused:
            base[uid] = outcome.with_status(FAILED, refused[uid])
        elif uid not in planned:
            base[uid] = _not_planned(intake, item, outcome, reason)
        else:
            outputs = tuple(f"{v.target}.nii.gz" for v in planned[uid].volumes)
            base[uid] = outcome.with_status(PLANNED, reason, planned[uid].way, outputs)
    plans = list(planning.plans)
    if existing:
        base, plans = late_series.compare(base, plans, request.bids_dir, job.subject, job.session, request.add)
        if not request.dry_run:
            dataset_files.add_participants(request.bids_dir)
    if plans and not request.dry_run:
        _convert(intake, job, plans, base, scratch, late_series.place_additions if existing else session.place)
    return list(base.values())


def _with_table(
    table: SeriesTable, job: Job, base: Mapping[str, SeriesOutcome]
) -> tuple[Job, dict[str, str], dict[str, str], dict[str, str]]:
    """Return a job as the series table sees it; names, remarks and mistakes of the table by series UID."""
    series, wishes, remarks, wrong = [], {}, {}, {}
    for item in job.series:
        uid = item.facts.uid
        name, part = table.of(base[uid])
        try:
            item, remarks[uid] = corrected(item, part)
        except UsageError as error:
            name, wrong[uid] = SKIP, str(error)
        series.append(item)
        if name:
            wishes[uid] = name
    return replace(job, series=tuple(series)), wishes, remarks, wrong


def _not_planned(intake: Intake, item: Series, outcome: SeriesOutcome, reason: str) -> SeriesOutcome:
    folders = {intake.logical[i.path].parent for i in item.instances}
    if reason.startswith("incomplete") and folders & intake.broken_folders:
        return outcome.with_status(FAILED, f"{reason}; there are files in its folder that cannot be read")
    return outcome.with_status(SKIPPED, reason)


def _convert(
    intake: Intake,
    job: Job,
    plans: Sequence[SeriesPlan],
    base: dict[str, SeriesOutcome],
    scratch: Path,
    place: Callable[[Path, Path, str, str | None], None],
) -> None:
    request = intake.request
    tree, made = intake.make(plans, job, scratch)
    kept_times = {t: made.times[t] for uid, ts in made.outputs.items() if uid not in made.failures for t in ts}
    for uid in made.failures:
        for output in made.outputs.pop(uid, []):
            (tree / output).unlink(missing_ok=True)
            sidecar(tree / output).unlink(missing_ok=True)
    for plan in plans:
        uid = plan.series.facts.uid
        if uid in made.failures:
            base[uid] = base[uid].with_status(FAILED, intake.redact(made.failures[uid]), made.ways[uid])
            continue
        reason = "; ".join(x for x in (base[uid].reason, *made.remarks.get(uid, [])) if x)
        base[uid] = base[uid].with_status(CONVERTED, reason, made.ways[uid], tuple(made.outputs[uid]))
    if not kept_times:
        return
    session.write_scans(tree, job.subject, job.session, kept_times)
    dataset_files.write_dataset_files(request.bids_dir)
    if any("_coil-" in output for output in kept_times):
        dataset_files.ignore_coils(request.bids_dir)
    # The note comes first: with it a later run completes the table of participants after a kill.
    _take_notes(intake, job, base)
    try:
        place(tree, request.bids_dir, job.subject, job.session)
    except session.PlacementError as error:
        for uid, outcome in base.items():
            if outcome.status == CONVERTED:
                base[uid] = replace(outcome, status=FAILED, reason=str(error), outputs=())
    dataset_files.add_participants(request.bids_dir)


def _take_notes(intake: Intake, job: Job, base: dict[str, SeriesOutcome]) -> None:
    request = intake.request
    first = min(job.series, key=lambda s: s.facts.date_time).instances[0].values
    person = {"age": dataset_files.age_of(first["age"]), "sex": first["sex"] if first["sex"] in ("M", "F", "O") else ""}
    notes = dataset_files.noted_series(request.bids_dir, job.subject, job.session)
    for uid, place in job.places:
        mine = [base[s.facts.uid] for s in job.series if s.facts.study_uid == uid]
        rows = list(late_series.noted_rows(notes, mine))
        original = intake.redact(place.original)
        dataset_files.write_note(request.bids_dir, place, short_hash(uid), person, original, rows)


def _outcome(intake: Intake, job: Job, item: Series) -> SeriesOutcome:
    folder = min(intake.logical[i.path].parent for i in item.instances)
    return SeriesOutcome(
        job.subject,
        job.session,
        item.facts.number,
        intake.redact(item.facts.name),
        intake.redact(str(folder)),
        len(item.instances),
        SKIPPED,
        "",
        uid=short_hash(item.facts.uid, 12),
    )
