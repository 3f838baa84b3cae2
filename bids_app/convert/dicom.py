"""Conversion of a folder of DICOM files: scan, name, plan; then session by session."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from bids_app.convert.classify.grouping import decide
from bids_app.convert.classify.series import Series, group_series
from bids_app.convert.model import ConvertRequest, OnEvent, Problem, Result
from bids_app.convert.name.heuristic import Heuristic, assign, load_heuristic
from bids_app.convert.name.patients import Study, hidden_ids, place_studies
from bids_app.convert.name.plan import SeriesPlan, name_start, plan_series
from bids_app.convert.name.privacy import Redactor
from bids_app.convert.name.series_table import SKIP, full_names, read_series_table
from bids_app.convert.scan.files import Scan, scan
from bids_app.convert.write import session
from bids_app.convert.write.dataset_files import known_studies
from bids_app.convert.write.jobs import Intake, Job, Planned, check_account, claimed_jobs, make_jobs, run_jobs
from bids_app.convert.write.tools import check_tools
from bids_app.errors import InputRefusedError


def convert_dicom(request: ConvertRequest, scratch: Path, on_event: OnEvent) -> Result:
    """Convert ``request.dicom_dir``; returns the fate of every series, unreadable files and notes.

    Raises UsageError (heuristic, patterns, labels), InputRefusedError (no DICOM files) and ToolMissingError.
    """
    assert request.dicom_dir is not None
    heuristic, table = load_heuristic(request.heuristic), read_series_table(request.series_table)
    check_tools(dcm2niix=not request.dry_run)
    scanned = scan(request.dicom_dir, scratch / "unpacked", request.nprocs, request.outputs)
    redact = Redactor.of(scanned.instances)
    problems = [Problem(redact(p.path), p.reason) for p in scanned.problems]
    if not scanned.instances:
        what = [f"No DICOM file that can be read is in {request.dicom_dir}."]
        raise InputRefusedError(what + [f"{p.path}: {p.reason}" for p in problems])
    series = group_series(scanned.instances)
    studies = _studies(series, scanned, redact)
    places, _ = place_studies(studies, request, known_studies(request.bids_dir))
    redact = redact.hiding(hidden_ids(studies, places))
    series = [s.redacted(redact) for s in series]

    def plan_sessions() -> tuple[list[Job], list[str]]:
        places, notes = place_studies(studies, request, known_studies(request.bids_dir))
        return make_jobs(series, places, request), [redact(n) for n in notes]

    def make(plans: Sequence[SeriesPlan], job: Job, folder: Path) -> tuple[Path, session.Made]:
        return session.make_images(plans, heuristic, job.subject, job.session, folder, redact)

    broken = frozenset(PurePosixPath(p.path).parent for p in scanned.problems)
    intake = Intake(request, scanned.logical, redact, broken, partial(plan_job, heuristic), make, table)
    with claimed_jobs(request, plan_sessions) as (jobs, notes):
        on_event(f"Found {len(scanned.instances)} DICOM files: {len(series)} series, {len(jobs)} session(s).")
        outcomes = run_jobs(intake, jobs, scratch, on_event)
    notes += _notes(scanned)
    notes += table.unused(outcomes)
    check_account(series, jobs, outcomes, problems, notes)
    return outcomes, problems, notes


def _notes(scanned: Scan) -> list[str]:
    """Return sentences on files that were left aside."""
    notes = []
    if scanned.others:
        notes.append(f"{scanned.others} file(s) that are not DICOM were left aside.")
    if scanned.duplicates:
        notes.append(
            f"{scanned.duplicates} file(s) are copies of others (same header, same pixels) and were left aside."
        )
    return notes


def _studies(series: Sequence[Series], scanned: Scan, redact: Redactor) -> list[Study]:
    by_study: dict[str, list[Series]] = defaultdict(list)
    for item in series:
        by_study[item.facts.study_uid].append(item)
    return [_study(uid, members, scanned, redact) for uid, members in by_study.items()]


def _study(uid: str, members: Sequence[Series], scanned: Scan, redact: Redactor) -> Study:
    values = members[0].instances[0].values
    folders = {scanned.logical[i.path].parent for s in members for i in s.instances}
    return Study(
        uid,
        values["patient_id"],
        values["study_date"],
        values["study_time"],
        tuple(sorted(folders)),
        frozenset(redact.words),
    )


def plan_job(heuristic: Heuristic, job: Job, wishes: Mapping[str, str]) -> Planned:
    """Ask the heuristic for the names of a session's series; the content of the headers gives the reasons.

    ``wishes`` holds names of the series table by UID; the heuristic does not see these series.
    """
    left = [s for s in job.series if s.facts.uid not in wishes]
    names = assign(heuristic, left, job.subject, job.session)
    named = {uid: name for uid, name in wishes.items() if name != SKIP}
    names |= full_names(named, {s.facts.uid: s for s in job.series}, name_start(job.subject, job.session))
    plans, refused = plan_series(job.series, names, job.subject, job.session)
    reasons = {uid: "named by --series" if uid in named else "left out by --series" for uid in wishes}
    for uid, decision in decide([s.facts for s in left]).items():
        if uid in names:
            # A heuristic of the user's own may take what the content alone would leave out.
            reasons[uid] = decision.reason if decision.suffix else ""
        else:
            reasons[uid] = decision.reason or f"the heuristic {heuristic.name} gives it no name"
    return Planned(tuple(plans), refused, reasons)
