"""Conversion of loose NIfTI files: they are described, named by the same rules as DICOM, and copied."""

import gzip
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from bids_app.convert.classify.series import group_series
from bids_app.convert.dicom import plan_job
from bids_app.convert.model import ConvertRequest, OnEvent, Problem, Result
from bids_app.convert.name.heuristic import load_heuristic
from bids_app.convert.name.patients import Study, compile_pattern, hidden_ids, match, place_named, place_studies
from bids_app.convert.name.plan import SeriesPlan
from bids_app.convert.name.privacy import Redactor
from bids_app.convert.name.series_table import read_series_table
from bids_app.convert.scan.header import Instance
from bids_app.convert.scan.loose import Loose, describe, split_volumes
from bids_app.convert.scan.loose_sources import from_folder, from_table
from bids_app.convert.write import session
from bids_app.convert.write.dataset_files import known_studies
from bids_app.convert.write.dcm2niix import sidecar
from bids_app.convert.write.jobs import Intake, Job, check_account, claimed_jobs, make_jobs, run_jobs
from bids_app.convert.write.tools import check_tools
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.nifti import load
from bids_app.errors import InputRefusedError
from bids_app.model.json_values import JsonObject

_BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+(?=_)|(?<=_)ses-[A-Za-z0-9]+(?=_)")


def convert_nifti(request: ConvertRequest, scratch: Path, on_event: OnEvent) -> Result:
    """Take in ``request.nifti_dir`` or ``request.nifti_table``; returns the fate of every series, problems and notes.

    Raises UsageError (table, heuristic, patterns, labels) and InputRefusedError (no image that can be used).
    """
    heuristic, table = load_heuristic(request.heuristic), read_series_table(request.series_table)
    check_tools(dcm2niix=False)
    problems: list[Problem] = []
    named: dict[str, tuple[str, str | None]] = {}
    if request.nifti_dir is not None:
        loose = _with_studies(from_folder(request.nifti_dir, request.outputs, problems), request)
    else:
        assert request.nifti_table is not None
        loose, named = from_table(request.nifti_table, problems)
    described = _describe_all(loose, scratch, problems)
    instances = [instance for instance, _ in described]
    redact = Redactor.of(instances)
    problems = [Problem(redact(p.path), redact(p.reason)) for p in problems]
    if not instances:
        where = request.nifti_dir or request.nifti_table
        raise InputRefusedError(
            [f"No NIfTI image that can be used is in {where}.", *(f"{p.path}: {p.reason}" for p in problems)]
        )
    studies = [] if named else _studies(loose, request, redact)
    redact = redact.hiding(hidden_ids(studies, place_studies(studies, request, known_studies(request.bids_dir))[0]))
    series = [s.redacted(redact) for s in group_series(instances)]

    def plan_sessions() -> tuple[list[Job], list[str]]:
        known = known_studies(request.bids_dir)
        places, notes = place_named(named) if named else place_studies(studies, request, known)
        return make_jobs(series, places, request), [redact(n) for n in notes]

    sources = {instance.path: source for instance, source in described}

    def make(plans: Sequence[SeriesPlan], job: Job, folder: Path) -> tuple[Path, session.Made]:
        return _copy(plans, sources, folder, redact)

    logical = {path: source.logical for path, source in sources.items()}
    folders = frozenset(PurePosixPath(p.path).parent for p in problems)
    intake = Intake(request, logical, redact, folders, partial(plan_job, heuristic), make, table)
    with claimed_jobs(request, plan_sessions) as (jobs, notes):
        on_event(f"Found {len(instances)} images: {len(series)} series, {len(jobs)} session(s).")
        outcomes = run_jobs(intake, jobs, scratch, on_event)
    notes += table.unused(outcomes)
    check_account(series, jobs, outcomes, problems, notes)
    return outcomes, problems, notes


def _describe_all(loose: Sequence[Loose], scratch: Path, problems: list[Problem]) -> list[tuple[Instance, Loose]]:
    split = scratch / "split"
    split.mkdir()
    described = []
    for item in loose:
        try:
            described += [(describe(volume), volume) for volume in split_volumes(item, split)]
        except ValueError as error:
            problems.append(Problem(str(item.logical), str(error)))
    return described


def _with_studies(loose: Sequence[Loose], request: ConvertRequest) -> list[Loose]:
    """Separate examinations: by UID, PatientID and date where sidecars have them, and by the topmost folder."""
    patterns = {
        "subject": compile_pattern(request.subject_pattern, "--subject-pattern"),
        "session": compile_pattern(request.session_pattern, "--session-pattern"),
    }
    changed = []
    for item in loose:
        matches = [str(match(p, name, [str(item.logical)])) for name, p in patterns.items() if p is not None]
        bids = _BIDS_NAME.findall(f"{item.logical.name}")
        top = item.logical.parts[0] if len(item.logical.parts) > 1 else ""
        date = re.sub(r"\D", "", str(item.values.get("AcquisitionDateTime", "")))[:8]
        key = [item.study, str(item.values.get("PatientID", "")), date, *bids, *matches]
        changed.append(replace(item, study="|".join([top, *key])))
    return changed


def _studies(loose: Sequence[Loose], request: ConvertRequest, redact: Redactor) -> list[Study]:
    assert request.nifti_dir is not None
    groups: dict[str, list[Loose]] = defaultdict(list)
    for item in loose:
        groups[item.study].append(item)
    studies = []
    for key, members in groups.items():
        values: JsonObject = members[0].values
        stamp = re.sub(r"\D", "", str(values.get("AcquisitionDateTime", "")))
        folders = {_folder(m.logical, request) for m in members}
        studies.append(
            Study(
                key,
                str(values.get("PatientID", "")),
                stamp[:8],
                stamp[8:14],
                tuple(sorted(folders)),
                frozenset(redact.words),
            )
        )
    return studies


def _folder(logical: PurePosixPath, request: ConvertRequest) -> PurePosixPath:
    """Return where a file lies, for naming: entities in its name count as folders, a pattern sees all."""
    assert request.nifti_dir is not None
    if request.subject_pattern or request.session_pattern:
        return logical
    folder = logical.parent if logical.parent.parts else PurePosixPath(request.nifti_dir.resolve().name)
    return folder.joinpath(*_BIDS_NAME.findall(logical.name))


def _copy(
    plans: Sequence[SeriesPlan], sources: dict[Path, Loose], scratch: Path, redact: Redactor
) -> tuple[Path, session.Made]:
    """Copy the images of a session below ``scratch`` and finish them as the converted ones."""
    tree, out, made = scratch / "tree", scratch / "named", session.Made()
    tree.mkdir(parents=True)
    for plan in plans:
        uid = plan.series.facts.uid
        made.ways[uid] = "copy"
        try:
            for volume in plan.volumes:
                _copy_one(volume.files[0], sources[volume.files[0]], out / f"{volume.target}.nii.gz")
        except ValueError as error:
            made.failures[uid] = str(error)
            continue
        session.collect(out, plan, tree, made, redact)
    session.complete_complex(plans, tree, made)
    return tree, made


def _copy_one(path: Path, source: Loose, target: Path) -> None:
    """Copy one image, compressed, and its sidecar; raises ValueError when it is damaged."""
    import numpy as np

    try:
        np.asanyarray(load(path).dataobj)
        content = path.read_bytes()
    except Exception as error:  # any failure to decode a damaged file, whatever library raises it
        raise ValueError(f"{source.logical.name} is damaged or cut short ({type(error).__name__})") from error
    write_bytes(target, content if path.name.endswith(".gz") else gzip.compress(content, compresslevel=6, mtime=0))
    write_json(sidecar(target), source.values)
