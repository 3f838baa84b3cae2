"""Conversion of a folder of DICOM files: scan, name, plan, convert, session by session."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bids_app.convert import dataset_files, session
from bids_app.convert.grouping import decide
from bids_app.convert.heuristic import Heuristic, assign, load_heuristic
from bids_app.convert.model import (
    CONVERTED,
    FAILED,
    KEPT,
    PLANNED,
    SKIPPED,
    ConvertRequest,
    OnEvent,
    Problem,
    SeriesOutcome,
)
from bids_app.convert.naming import Place, Study, place_studies, sanitise
from bids_app.convert.plan import SeriesPlan, plan_series
from bids_app.convert.privacy import Redactor, short_hash, words_of_patients
from bids_app.convert.scan import Scan, scan
from bids_app.convert.series import Series, group_series
from bids_app.convert.tools import find_dcm2niix
from bids_app.errors import InputRefusedError, UsageError


@dataclass(frozen=True)
class Job:
    """One subject and session with its series, and where its studies came from."""

    subject: str
    session: str | None
    series: tuple[Series, ...]
    places: tuple[tuple[str, Place], ...]  # study UID and its place


@dataclass(frozen=True)
class Intake:
    """Everything about the input that the jobs share."""

    request: ConvertRequest
    scan: Scan
    heuristic: Heuristic
    redact: Redactor
    broken_folders: frozenset[PurePosixPath]


Result = tuple[list[SeriesOutcome], list[Problem], list[str]]


def convert_dicom(request: ConvertRequest, scratch: Path, on_event: OnEvent) -> Result:
    """Convert ``request.dicom_dir``; returns the fate of every series, unreadable files and notes.

    Raises UsageError (heuristic, patterns, labels), InputRefusedError (no DICOM files) and ToolMissingError.
    """
    assert request.dicom_dir is not None
    heuristic = load_heuristic(request.heuristic)
    if not request.dry_run:
        find_dcm2niix()
    found = scan(request.dicom_dir, scratch / "unpacked", request.nprocs)
    redact = Redactor(words_of_patients(found.instances))
    problems = [Problem(redact(p.path), p.reason) for p in found.problems]
    if not found.instances:
        raise InputRefusedError(
            [
                f"No DICOM file that can be read is in {request.dicom_dir}.",
                *(f"{p.path}: {p.reason}" for p in problems),
            ]
        )
    series = group_series(found.instances)
    jobs, notes = make_jobs(series, found, request, redact)
    notes = [redact(n) for n in notes]
    if found.others:
        notes.append(f"{found.others} file(s) that are not DICOM were left aside.")
    if found.duplicates:
        notes.append(
            f"{found.duplicates} file(s) are copies of others (same SOPInstanceUID) and were left aside."
        )
    on_event(f"Found {len(found.instances)} DICOM files: {len(series)} series, {len(jobs)} session(s).")
    broken = frozenset(PurePosixPath(p.path).parent for p in found.problems)
    intake = Intake(request, found, heuristic, redact, broken)
    outcomes = run_jobs(intake, jobs, scratch, on_event)
    return outcomes, problems, notes


def make_jobs(
    series: Sequence[Series], found: Scan, request: ConvertRequest, redact: Redactor
) -> tuple[list[Job], list[str]]:
    """Group series by subject and session; the labels asked for choose among them."""
    by_study: dict[str, list[Series]] = defaultdict(list)
    for item in series:
        by_study[item.facts.study_uid].append(item)
    studies = [_study(uid, members, found, redact) for uid, members in by_study.items()]
    known = {s: n["studies"] for s, n in dataset_files.read_notes(request.bids_dir).items()}
    places, notes = place_studies(studies, request, known)
    groups: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for uid, place in places.items():
        groups[place.subject, place.session].append(uid)
    _check_labels(request, groups)
    jobs = []
    for (subject, ses), uids in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] or "")):
        if request.participant_labels and subject not in map(sanitise, request.participant_labels):
            continue
        if request.session_labels and ses not in map(sanitise, request.session_labels):
            continue
        members = sorted(
            (s for u in uids for s in by_study[u]), key=lambda s: (s.facts.date_time, s.facts.number)
        )
        jobs.append(Job(subject, ses, tuple(members), tuple((u, places[u]) for u in uids)))
    return jobs, notes


def _study(uid: str, members: Sequence[Series], found: Scan, redact: Redactor) -> Study:
    values = members[0].instances[0].values
    folders = {found.logical[i.path].parent for s in members for i in s.instances}
    return Study(
        uid, values["patient_id"], values["study_date"], values["study_time"], tuple(sorted(folders)),
        frozenset(redact.words),
    )  # fmt: skip


def _check_labels(request: ConvertRequest, groups: dict[tuple[str, str | None], list[str]]) -> None:
    subjects, sessions = {s for s, _ in groups}, {x for _, x in groups}
    missing = [x for x in request.participant_labels if sanitise(x) not in subjects]
    if missing:
        raise UsageError(
            f"--participant-label {' '.join(missing)}: not found; the scans are of {', '.join(sorted(subjects))}."
        )
    missing = [x for x in request.session_labels if sanitise(x) not in sessions]
    if missing:
        known = ", ".join(sorted(x or "(no session)" for x in sessions))
        raise UsageError(f"--session-label {' '.join(missing)}: not found; the scans are of {known}.")


def run_jobs(intake: Intake, jobs: Sequence[Job], scratch: Path, on_event: OnEvent) -> list[SeriesOutcome]:
    """Convert the sessions, several at a time; one that fails does not stop the others."""

    def one(numbered: tuple[int, Job]) -> list[SeriesOutcome]:
        number, job = numbered
        label = f"sub-{job.subject}" + (f" ses-{job.session}" if job.session else "")
        on_event(f"{label}: {len(job.series)} series")
        try:
            outcomes = run_job(intake, job, scratch / f"session-{number:04d}")
        except Exception as error:
            reason = intake.redact(f"{type(error).__name__}: {error}")
            outcomes = [_outcome(intake, job, s).with_status(FAILED, reason) for s in job.series]
        done = sum(o.status == CONVERTED for o in outcomes)
        failed = sum(o.status == FAILED for o in outcomes)
        on_event(f"{label}: {done} series converted" + (f", {failed} failed" if failed else ""))
        return outcomes

    # The work is done by other programs; threads are enough to keep several of them busy.
    with ThreadPoolExecutor(max_workers=max(1, intake.request.nprocs)) as pool:
        return [o for outcomes in pool.map(one, enumerate(jobs, start=1)) for o in outcomes]


def run_job(intake: Intake, job: Job, scratch: Path) -> list[SeriesOutcome]:
    """Convert one session; returns the fate of each of its series."""
    request = intake.request
    base = {s.facts.uid: _outcome(intake, job, s) for s in job.series}
    if session.existing(request.bids_dir, job.subject, job.session):
        where = f"sub-{job.subject}" + (f"/ses-{job.session}" if job.session else "")
        reason = f"{where} is in the dataset already; remove it to convert it anew"
        return [o.with_status(KEPT, reason) for o in base.values()]
    conflict = session.layout_conflict(request.bids_dir, job.subject, job.session)
    if conflict:
        return [o.with_status(FAILED, conflict) for o in base.values()]
    names = assign(intake.heuristic, job.series, job.subject, job.session)
    decisions = decide([s.facts for s in job.series])
    plans, refused = plan_series(job.series, names, job.subject, job.session)
    planned = {p.series.facts.uid: p for p in plans}
    for item in job.series:
        uid, outcome = item.facts.uid, base[item.facts.uid]
        reason = decisions[uid].reason
        if uid in refused:
            base[uid] = outcome.with_status(FAILED, refused[uid])
        elif uid not in planned:
            base[uid] = _not_planned(intake, item, outcome, reason)
        else:
            outputs = tuple(f"{v.target}.nii.gz" for v in planned[uid].volumes)
            base[uid] = outcome.with_status(PLANNED, reason, planned[uid].way, outputs)
    if plans and not request.dry_run:
        _convert(intake, job, plans, base, scratch)
    return list(base.values())


def _not_planned(intake: Intake, item: Series, outcome: SeriesOutcome, reason: str) -> SeriesOutcome:
    reason = reason or f"the heuristic {intake.heuristic.name} gives it no name"
    folders = {intake.scan.logical[i.path].parent for i in item.instances}
    if reason.startswith("incomplete") and folders & intake.broken_folders:
        return outcome.with_status(FAILED, f"{reason}; there are files in its folder that cannot be read")
    return outcome.with_status(SKIPPED, reason)


def _convert(
    intake: Intake, job: Job, plans: Sequence[SeriesPlan], base: dict[str, SeriesOutcome], scratch: Path
) -> None:
    request = intake.request
    tree, made = session.make_images(
        plans, intake.heuristic, job.subject, job.session, scratch, intake.redact
    )
    kept_times = {
        t: made.times[t] for uid, ts in made.outputs.items() if uid not in made.failures for t in ts
    }
    for uid in made.failures:
        for output in made.outputs.pop(uid, []):
            (tree / output).unlink(missing_ok=True)
            session.sidecar(tree / output).unlink(missing_ok=True)
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
    try:
        session.place(tree, request.bids_dir, job.subject, job.session)
    except session.PlacementError as error:
        for uid, outcome in base.items():
            if outcome.status == CONVERTED:
                base[uid] = replace(outcome, status=KEPT, reason=str(error), outputs=())
        return
    _take_notes(intake, job, base)


def _take_notes(intake: Intake, job: Job, base: dict[str, SeriesOutcome]) -> None:
    request = intake.request
    first = min(job.series, key=lambda s: s.facts.date_time).instances[0].values
    person = {
        "age": dataset_files.age_of(first["age"]),
        "sex": first["sex"] if first["sex"] in ("M", "F", "O") else "",
    }
    for uid, place in job.places:
        rows = [
            {"series": o.number, "description": o.description, "status": o.status, "reason": o.reason,
             "converted_with": o.way, "outputs": list(o.outputs)}
            for s in job.series
            if s.facts.study_uid == uid
            for o in [base[s.facts.uid]]
        ]  # fmt: skip
        original = intake.redact(place.original)
        dataset_files.write_note(request.bids_dir, place, short_hash(uid), person, original, rows)
    dataset_files.add_participants(request.bids_dir, {job.subject: person})


def _outcome(intake: Intake, job: Job, item: Series) -> SeriesOutcome:
    folder = min(intake.scan.logical[i.path].parent for i in item.instances)
    return SeriesOutcome(
        job.subject, job.session, item.facts.number, intake.redact(item.facts.name),
        intake.redact(str(folder)), len(item.instances), SKIPPED, "", uid=short_hash(item.facts.uid, 12),
    )  # fmt: skip
