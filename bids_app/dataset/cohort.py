"""Who is in the group: what ``participant`` has made, compared with the participants of the dataset.

Found by the engine's records and their files' sizes, so that thousands of participants take seconds; a file whose size
or time is not that of its record is hashed by the steps that read it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bids_app.derivatives.records import load_record, record_files, records_root, split_name
from bids_app.model.cohort import Cohort, CompletenessEntry
from bids_app.model.group_run import GroupRun
from bids_app.model.naming import Entities, entities_in, run_entities
from bids_app.model.records import spelled
from bids_app.model.step_record import StepRecord

_PHASE = re.compile(r"_part-(?:phase|real)(?:_[a-z]+-[A-Za-z0-9+]+)*_(?:MEGRE|T2starw|T1w)\.nii(?:\.gz)?$")
#: Products that everyone should have if most have them.
_EXPECTED = ("chimap", "regions@")


def survey(
    bids_dir: Path,
    output_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    by_run: bool = True,
) -> Cohort:
    """Return what is there of whom.

    ``by_run`` False compares by participant and session alone (images were selected by a filter).
    """
    expected = _expected(bids_dir, participants, sessions)
    made = {
        run.basename: run
        for run in _made(output_dir)
        if (not participants or run.subject in participants) and (not sessions or run.session in sessions)
    }
    found = {name: run for name, run in made.items() if "chimap" in run.made}
    entries = []
    common = _common(made.values())
    for subject, session, names in expected:
        here = [run for run in found.values() if (run.subject, run.session) == (subject, session)]
        wanted = names if by_run else ([] if here else names[:1])
        home = f"sub-{subject}" + (f"_ses-{session}" if session else "")
        if not names and not here:
            entries.append(
                CompletenessEntry(subject, session, home, "no data", "no gradient echo with phase in the dataset")
            )
        lost = [name for name in wanted if name not in found]
        entries += [_lost(output_dir, subject, session, name, name in made) for name in lost]
    for name, run in found.items():
        lacks = [key for key in common if key not in run.made]
        status, reason = ("incomplete", f"has no {', '.join(lacks)}") if lacks else ("found", "")
        if lacks:
            reason += _last_words(output_dir, name)
        entries.append(CompletenessEntry(run.subject, run.session, name, status, reason))
    entries.sort(key=lambda entry: entry.run)
    table = bids_dir / "participants.tsv"
    return Cohort(
        tuple(found[name] for name in sorted(found)),
        tuple(entries),
        table if table.is_file() else None,
        tuple(sorted(bids_dir.glob("sub-*/sub-*_sessions.tsv"))),
    )


def planned(bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> Cohort:
    """Return whom the group will hold when the level ``participant`` has made everything, by names of files alone."""
    names = [name for _, _, runs in _expected(bids_dir, participants, sessions) for name in runs]
    return Cohort(tuple(GroupRun(entities_in(name), ()) for name in sorted(names)))


def to_json(cohort: Cohort) -> dict[str, Any]:
    """Return a cohort as plain values."""
    return asdict(cohort) | {
        "participants": str(cohort.participants) if cohort.participants else None,
        "sessions": [str(path) for path in cohort.sessions],
    }


def from_json(content: Mapping[str, Any]) -> Cohort:
    """Return the cohort that ``to_json`` has given; KeyError and TypeError where it is another content."""
    runs = []
    for run in content["runs"]:
        t1w = None if run["t1w"] is None else _pairs(run["t1w"])
        runs.append(GroupRun(_pairs(run["entities"]), tuple(run["made"]), t1w, run["similarity"]))
    table = content["participants"]
    return Cohort(
        tuple(runs),
        tuple(CompletenessEntry(**entry) for entry in content["entries"]),
        Path(table) if table else None,
        tuple(Path(path) for path in content["sessions"]),
    )


def _pairs(content: Iterable[Sequence[str]]) -> Entities:
    return tuple((key, value) for key, value in content)


def problems(cohort: Cohort, limit: int = 20) -> list[str]:
    """Return one sentence for every participant that is missing, failed or incomplete, and a last one on what to do."""
    bad = [entry for entry in cohort.entries if entry.is_problem]
    lines = [f"{s.run}: {s.status}: {s.reason}" for s in bad[:limit]]
    if len(bad) > limit:
        lines.append(f"and {len(bad) - limit} more")
    return lines


def _expected(
    bids_dir: Path, participants: Sequence[str], sessions: Sequence[str]
) -> list[tuple[str, str | None, list[str]]]:
    """Return subject, session and the basenames of its gradient-echo runs, by the names of files alone."""
    listed = []
    for home in sorted(bids_dir.glob("sub-*")):
        subject = home.name.removeprefix("sub-")
        if not home.is_dir() or (participants and subject not in participants):
            continue
        inner = sorted(path for path in home.glob("ses-*") if path.is_dir())
        for place in inner or [home]:
            session = place.name.removeprefix("ses-") if inner else None
            if sessions and session not in sessions:
                continue
            images = (path.name for path in place.glob(f"anat/{home.name}_*.nii*"))
            names = {spelled(run_entities(name)) for name in images if _PHASE.search(name)}
            listed.append((subject, session, sorted(names)))
    return listed


def _made(output_dir: Path) -> Iterable[GroupRun]:
    """Yield every run that has records, with the products that are as large as their records say."""
    runs: dict[str, list[StepRecord]] = {}
    for path in record_files(records_root(output_dir)):
        basename, _ = split_name(path)
        # An anatomical image ends with its suffix, and iterations of the template have records too.
        if basename.startswith("sub-") and len(entities_in(basename)) == len(basename.split("_")):
            own = runs.setdefault(basename, [])
            record = load_record(path)
            if record is not None:
                own.append(record)
    for basename, records in sorted(runs.items()):
        made = sorted({key for record in records for key in _intact(record, output_dir)})
        registration = next((record for record in records if record.step == "registration"), None)
        t1w = None if registration is None else _t1w_of(registration)
        similarity = None if registration is None else registration.number("mutual_information")
        yield GroupRun(entities_in(basename), tuple(made), t1w, similarity)


def _t1w_of(registration: StepRecord) -> Entities | None:
    for state in registration.files:
        if state.path.endswith("desc-preproc_T1w.nii.gz"):
            return tuple(pair for pair in entities_in(Path(state.path).name) if pair[0] != "desc")
    return None


def _intact(record: StepRecord, output_dir: Path) -> list[str]:
    """Return the keys of products that are there and as large as the record says (working files may be gone)."""
    sizes = {state.path: state.size for state in record.files}
    kept = []
    for key, relative in record.paths.items():
        try:
            size = (output_dir / relative).stat().st_size
        except OSError:
            continue
        if size == sizes.get(relative):
            kept.append(key)
    return kept


def _common(runs: Iterable[GroupRun]) -> list[str]:
    """Return the products that more than half of all runs have, of those that a table of the group needs."""
    all_runs = list(runs)
    keys = sorted({key for run in all_runs for key in run.made if key.startswith(_EXPECTED)})
    return [key for key in keys if 2 * sum(key in run.made for run in all_runs) > len(all_runs)]


def _lost(output_dir: Path, subject: str, session: str | None, name: str, begun: bool) -> CompletenessEntry:
    words = _last_words(output_dir, name)
    if begun or words:
        return CompletenessEntry(
            subject, session, name, "failed", "no susceptibility map that is like its record" + words
        )
    return CompletenessEntry(subject, session, name, "missing", "the participant level has made nothing of it")


def _last_words(output_dir: Path, basename: str) -> str:
    """Return what the newest crash file of a run says, after a colon."""
    crashes = sorted((output_dir / "logs").glob(f"crash-*-{basename}.txt"))
    if crashes:
        for line in crashes[-1].read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("step "):
                return f" ({line.removeprefix('step ')[:200]})"
    return ""
