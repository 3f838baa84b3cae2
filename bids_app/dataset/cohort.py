"""Who is in the group: what ``participant`` has made, compared with the participants of the dataset.

Nothing counts by its name and size alone: a product must have the bytes that its record describes, and must be made
from the files that are recorded now (see ``dataset.integrity``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bids_app.dataset.expected import Home, sessions_of
from bids_app.dataset.integrity import TABLE_READS, Products, RunRecords, Verifier
from bids_app.derivatives.ratings import EXCLUDE, Rating
from bids_app.derivatives.records import load_record, record_files, records_root, split_name
from bids_app.model.cohort import EXCLUDED, SLICE_STEP, WITHDRAWN, Cohort, CompletenessEntry
from bids_app.model.group_run import GroupRun
from bids_app.model.json_values import JsonObject
from bids_app.model.naming import Entities, entities_in
from bids_app.model.step_record import StepRecord

#: Products that everyone should have if most have them.
_EXPECTED = ("chimap", "regions@")
#: Suffixes of anatomical images, whose records serve the runs.
_ANATOMICAL = ("T1w", "T2w", "UNIT1", "FLAIR")


@dataclass(frozen=True)
class Wanted:
    """Whose results are wanted, and how closely they are looked at."""

    participants: tuple[str, ...] = ()  # empty: all
    sessions: tuple[str, ...] = ()
    by_run: bool = True  # False: compared by participant and session alone (images were selected by a filter)
    reads: tuple[str, ...] = TABLE_READS  # products whose bytes are compared with their records
    ratings: Mapping[str, Rating] = field(default_factory=dict)  # by run
    with_withdrawn: bool = False  # whether those stay who are not in the dataset

    def holds(self, subject: str, session: str | None) -> bool:
        """Return whether a participant's session is wanted."""
        return (not self.participants or subject in self.participants) and (
            not self.sessions or session in self.sessions
        )


@dataclass(frozen=True)
class _Made:
    """A run with what is wrong about its products."""

    run: GroupRun
    products: Products
    records: RunRecords


def survey(
    bids_dir: Path, output_dir: Path, wanted: Wanted | None = None, verifier: Verifier | None = None, threads: int = 1
) -> tuple[Cohort, dict[str, tuple[StepRecord, ...]]]:
    """Return what is there of whom, and the records of the runs that are in the cohort."""
    wanted = wanted or Wanted()
    sessions = sessions_of(bids_dir, wanted.participants, wanted.sessions)
    made = {
        processed.run.basename: processed for processed in _made(output_dir, wanted, verifier or Verifier(), threads)
    }
    common = _common([processed.run for processed in made.values()])
    entries = {name: _judged(processed, common, output_dir) for name, processed in made.items()}
    for home in sessions:
        entries |= {entry.run: entry for entry in _missing(home, made, output_dir, wanted)}
    if not wanted.with_withdrawn:
        entries |= {name: _withdrawn(made[name].run) for name in made if not _is_in(made[name].run, sessions, wanted)}
    entries = {name: _rated(entry, wanted.ratings.get(name)) for name, entry in entries.items()}
    runs = tuple(made[name].run for name in sorted(made) if _stays(entries[name], made[name]))
    table = bids_dir / "participants.tsv"
    unknown = sorted(run for run in wanted.ratings.keys() - entries.keys() if wanted.holds(*_whose(run)))
    cohort = Cohort(
        runs,
        tuple(entries[name] for name in sorted(entries)),
        table if table.is_file() else None,
        tuple(sorted(bids_dir.glob("sub-*/sub-*_sessions.tsv"))),
        remarks=(
            *(f"{run} is rated, but there is no such run" for run in unknown[:10]),
            *_left((made[run.basename] for run in runs), common),
        ),
    )
    return cohort, {run.basename: made[run.basename].records.current for run in runs}


def _stays(entry: CompletenessEntry, processed: _Made) -> bool:
    return entry.status not in (EXCLUDED, WITHDRAWN) and "chimap" in processed.run.made


def _whose(run: str) -> tuple[str, str | None]:
    entities = dict(entities_in(run))
    return entities.get("sub", ""), entities.get("ses")


def _judged(processed: _Made, common: Sequence[str], output_dir: Path) -> CompletenessEntry:
    """Return the entry of a run that has records."""
    run, name = processed.run, processed.run.basename
    causes: dict[str, list[str]] = {}
    for key, (file, cause) in processed.products.stale.items():
        if not _is_left(key, common):
            causes.setdefault(cause, []).append(file)
    wrong = [*processed.products.changed.values(), *(f"{', '.join(files)}: {cause}" for cause, files in causes.items())]
    lacks = [key for key in common if key not in run.made]
    has_map = "chimap" in {*run.made, *processed.products.changed, *processed.products.stale}
    if any(record.step == SLICE_STEP for record in processed.records.current):
        status, reason = EXCLUDED, "computed slice by slice: there is no susceptibility map"
    elif not has_map:
        status, reason = "failed", "no susceptibility map that is like its record" + _last_words(output_dir, name)
    elif wrong:
        status, reason = "changed", "; ".join(wrong)
    elif lacks:
        status, reason = "incomplete", f"has no {', '.join(lacks)}{_last_words(output_dir, name)}"
    else:
        status, reason = "found", ""
    return CompletenessEntry(run.subject, run.session, name, status, reason)


def _is_left(key: str, common: Sequence[str]) -> bool:
    """Return whether a stale product may be left from an earlier command with other options: most do not have it."""
    return "@" in key and key not in common


def _left(made: Iterable[_Made], common: Sequence[str]) -> list[str]:
    """Return what is said of stale products that nobody needs."""
    names: dict[str, list[str]] = {}
    for processed in made:
        for key in (key for key in processed.products.stale if key.startswith(_EXPECTED) and _is_left(key, common)):
            names.setdefault(key.partition("@")[2], []).append(processed.run.basename)
    return [
        f"segmentation {name}: the tables of {len(runs)} runs were made from earlier maps and are not used: "
        f"{', '.join(runs[:10])}"
        for name, runs in names.items()
    ]


def _missing(home: Home, made: Mapping[str, _Made], output_dir: Path, wanted: Wanted) -> list[CompletenessEntry]:
    """Return entries for what the dataset has and nothing was made of."""
    runs = [
        processed.run
        for processed in made.values()
        if (processed.run.subject, processed.run.session) == (home.subject, home.session)
    ]
    if not home.runs and not any("chimap" in run.made for run in runs):
        reason = "no gradient echo with phase in the dataset"
        return [CompletenessEntry(home.subject, home.session, home.name, "no data", reason)]
    names = home.runs if wanted.by_run else (() if runs else home.runs[:1])
    entries = []
    for name in (name for name in names if name not in made):
        words = _last_words(output_dir, name)
        status = "failed" if words else "missing"
        reason = f"no susceptibility map{words}" if words else "the participant level has made nothing of it"
        entries.append(CompletenessEntry(home.subject, home.session, name, status, reason))
    return entries


def _is_in(run: GroupRun, sessions: Sequence[Home], wanted: Wanted) -> bool:
    """Return whether the dataset has images of a run."""
    matching = [home for home in sessions if (home.subject, home.session) == (run.subject, run.session)]
    return any(run.basename in home.images or (not wanted.by_run and home.images) for home in matching)


def _withdrawn(run: GroupRun) -> CompletenessEntry:
    reason = "results are here, but the dataset has no images of it"
    return CompletenessEntry(run.subject, run.session, run.basename, WITHDRAWN, reason)


def _rated(entry: CompletenessEntry, rating: Rating | None) -> CompletenessEntry:
    if rating is None:
        return entry
    entry = replace(entry, rating=rating.rating, note=rating.note)
    if rating.rating != EXCLUDE or entry.status == WITHDRAWN:
        return entry
    reason = "; ".join(filter(None, (f"rated {EXCLUDE}", rating.note)))
    return replace(entry, status=EXCLUDED, reason=reason)


def to_json(cohort: Cohort) -> JsonObject:
    """Return a cohort as plain values."""
    return asdict(cohort) | {
        "participants": str(cohort.participants) if cohort.participants else None,
        "sessions": [str(path) for path in cohort.sessions],
    }


def from_json(content: JsonObject) -> Cohort:
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
        remarks=tuple(content["remarks"]),
    )


def _pairs(content: Iterable[Sequence[str]]) -> Entities:
    return tuple((key, value) for key, value in content)


def problems(cohort: Cohort, limit: int = 20) -> list[str]:
    """Return one sentence for every run that is missing, failed, changed or incomplete."""
    bad = [entry for entry in cohort.entries if entry.is_problem]
    lines = [entry.sentence for entry in bad[:limit]]
    if len(bad) > limit:
        lines.append(f"and {len(bad) - limit} more")
    return lines


def _made(output_dir: Path, wanted: Wanted, verifier: Verifier, threads: int) -> list[_Made]:
    """Return every wanted run that has records, with its products."""
    runs: dict[str, list[StepRecord]] = {}
    for path in record_files(records_root(output_dir)):
        basename, _ = split_name(path)
        if _is_of_participant(basename) and wanted.holds(*_whose(basename)):
            record = load_record(path)
            # A record that was renamed says nothing of the participant that it is named after.
            runs.setdefault(basename, []).extend([record] if record is not None and record.basename == basename else [])
    images: dict[str, list[StepRecord]] = {}
    for basename in [basename for basename in runs if basename.endswith(_ANATOMICAL)]:
        images.setdefault(_whose(basename)[0], []).extend(runs.pop(basename))
    every = [
        RunRecords(name, tuple(records), tuple(_used(records, images.get(_whose(name)[0], ()))))
        for name, records in sorted(runs.items())
    ]
    verifier.read_ahead((read for records in every for read in records.files_read(output_dir, wanted.reads)), threads)
    return [_made_of(records, output_dir, wanted, verifier) for records in every]


def _is_of_participant(basename: str) -> bool:
    """Return whether records of this name are a run's or an image's; the group has records of participants too."""
    parts = basename.removesuffix(f"_{basename.rpartition('_')[2]}") if basename.endswith(_ANATOMICAL) else basename
    return basename.startswith("sub-") and len(entities_in(parts)) == len(parts.split("_"))


def _used(records: Sequence[StepRecord], images: Sequence[StepRecord]) -> list[StepRecord]:
    """Return the records of the anatomical image that a run was registered with."""
    t1w = next((_t1w_of(record) for record in records if record.step == "registration"), None)
    return [record for record in images if t1w is not None and entities_in(record.basename) == t1w]


def _made_of(records: RunRecords, output_dir: Path, wanted: Wanted, verifier: Verifier) -> _Made:
    products = records.products(output_dir, wanted.reads, verifier)
    registration = next((record for record in records.records if record.step == "registration"), None)
    t1w = None if registration is None else _t1w_of(registration)
    similarity = None if registration is None else registration.number("mutual_information")
    return _Made(GroupRun(entities_in(records.basename), products.made, t1w, similarity), products, records)


def _t1w_of(registration: StepRecord) -> Entities | None:
    for state in registration.files:
        if state.path.endswith("desc-preproc_T1w.nii.gz"):
            return tuple(pair for pair in entities_in(Path(state.path).name) if pair[0] != "desc")
    return None


def _common(runs: Sequence[GroupRun]) -> list[str]:
    """Return the products that more than half of all runs have, of those that a table of the group needs."""
    keys = sorted({key for run in runs for key in run.made if key.startswith(_EXPECTED)})
    return [key for key in keys if 2 * sum(key in run.made for run in runs) > len(runs)]


def _last_words(output_dir: Path, basename: str) -> str:
    """Return what the newest crash file of a run says, after a colon."""
    crashes = sorted((output_dir / "logs").glob(f"crash-*-{basename}.txt"))
    if crashes:
        for line in crashes[-1].read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("step "):
                return f" ({line.removeprefix('step ')[:200]})"
    return ""
