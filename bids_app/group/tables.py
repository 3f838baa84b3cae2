"""One table for all: regional values of every run, joined with what the dataset knows about its participants."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.derivatives.columns import STATUS as _STATUS_TEXT
from bids_app.derivatives.tsv import table_rows
from bids_app.group.table_checks import MISSING, description, read_checked

Row = dict[str, object]
Columns = dict[str, Mapping[str, object]]

#: Where a manual segmentation is measured.
_SPACES = {"native": "on the run's own map", "template": "in the space of the template"}
#: What the wide table has of every region, if the runs' tables have it.
WIDE = (
    "chi_mean",
    "chi_median",
    "r2star_mean",
    "r2prime_mean",
    "chi_paramagnetic_mean",
    "chi_diamagnetic_mean",
    "volume_mm3",
    "voxels",
)
#: First columns of every table of the group.
KEYS: Columns = {
    "participant_id": {"Description": "Participant, as in participants.tsv"},
    "session_id": {"Description": "Session, as in sessions.tsv; n/a where there are none"},
    "run": {"Description": "Gradient-echo run: all entities of its images"},
}
STATUS: Columns = {"status": _STATUS_TEXT}


@dataclass(frozen=True)
class Run:
    """What the group knows of a run: keys, and its table's rows (none where it has no table)."""

    subject: str
    session: str | None
    name: str
    status: str = "found"
    rows: tuple[Row, ...] = ()

    @property
    def keys(self) -> Row:
        """The first columns of its rows."""
        session = f"ses-{self.session}" if self.session else None
        return {"participant_id": f"sub-{self.subject}", "session_id": session, "run": self.name}


@dataclass(frozen=True)
class Covariates:
    """Columns of participants.tsv and sessions.tsv; those of a session win where both have one."""

    columns: Columns = field(default_factory=dict)
    of_participant: Mapping[str, Row] = field(default_factory=dict)
    of_session: Mapping[tuple[str, str], Row] = field(default_factory=dict)

    def of(self, run: Run) -> Row:
        """Return the values of a run, None where they are not known."""
        values: Row = dict.fromkeys(self.columns)
        values |= self.of_participant.get(run.subject, {})
        session_values = self.of_session.get((run.subject, run.session or ""), {})
        return values | {name: value for name, value in session_values.items() if value is not None}


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table as text, None where a value is missing."""
    return [{k: None if v.strip() in MISSING else v.strip() for k, v in row.items()} for row in table_rows(path)]


def read_covariates(participants: Path | None, sessions: Sequence[Path], taken: Sequence[str]) -> Covariates:
    """Return the columns of participants.tsv and of all sessions.tsv; a name in ``taken`` gets ``participant_``."""
    columns: Columns = {}
    reserved = {*taken, *KEYS, *STATUS}
    of_participant: dict[str, Row] = {}
    of_session: dict[tuple[str, str], Row] = {}

    def renamed(row: Mapping[str, object], key: str, path: Path) -> Row:
        values = {}
        for name, value in row.items():
            if name in (key, "None", ""):
                continue
            new = name
            while new in reserved or (new != name and new in row):
                new = f"participant_{new}"
            values[new] = value
            columns.setdefault(new, _described(name, path))
        return values

    if participants is not None:
        for row in read_checked(participants, "participant_id")[0]:
            label = str(row.get("participant_id") or "").removeprefix("sub-")
            of_participant[label] = renamed(row, "participant_id", participants)
    for path in sessions:
        label = path.name.removeprefix("sub-").removesuffix("_sessions.tsv")
        for row in read_checked(path, "session_id")[0]:
            session = str(row.get("session_id") or "").removeprefix("ses-")
            of_session[label, session] = renamed(row, "session_id", path)
    return Covariates(columns, of_participant, of_session)


def _described(name: str, path: Path) -> dict[str, object]:
    """Return what a column's own dictionary says of it."""
    known = description(path, name)
    if known is not None:
        return known
    return {"Description": f"Column of {path.name.partition('_')[2] or path.name}"}


def long_table(runs: Sequence[Run], covariates: Covariates) -> list[Row]:
    """Return one row for every region of every run: keys, participant's columns, regional values."""
    columns = list(dict.fromkeys(name for run in runs for row in run.rows for name in row))
    empty: Row = dict.fromkeys(columns)
    return [run.keys | covariates.of(run) | empty | row for run in runs for row in run.rows]


def wide_table(runs: Sequence[Run], covariates: Covariates) -> tuple[list[Row], Columns]:
    """Return one row for every run, those without values too, one column for every region and measure, and its text."""
    slugs, regions = _slugs(runs)
    measures = [name for name in WIDE if any(name in row for row in regions.values())]
    columns: Columns = {
        f"{measure}_{slug}": {
            "Description": f"{measure} of the region: {region_words(row)} (label {row['index']})"
            + (f", {_SPACES[str(row['space'])]}" if row.get("space") else "")
        }
        for measure in measures
        for slug, row in regions.items()
    }
    names = {name: f"participant_{name}" if name in columns else name for name in covariates.columns}
    rows = []
    for run in runs:
        values: Row = dict.fromkeys(columns)
        for row in run.rows:
            values |= {f"{measure}_{slugs[_key(row)]}": row.get(measure) for measure in measures}
        known = {names[name]: value for name, value in covariates.of(run).items()}
        rows.append(run.keys | {"status": run.status} | known | values)
    return rows, columns | {new: covariates.columns[name] for name, new in names.items() if new != name}


def _key(row: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(str(row.get(name)) for name in ("space", "index", "name", "hemisphere"))


def _slugs(runs: Sequence[Run]) -> tuple[dict[tuple[str, ...], str], dict[str, Row]]:
    """Return a name of its own for every region, and its first row; names that read alike get the label's number."""
    slugs: dict[tuple[str, ...], str] = {}
    regions: dict[str, Row] = {}
    for row in (row for run in runs for row in run.rows):
        key = _key(row)
        if key not in slugs:
            slug = region_slug(row)
            slug = slug if slug not in regions else f"{slug}_label_{row['index']}"
            number = 2
            while slug in regions:
                slug, number = f"{region_slug(row)}_label_{row['index']}_{number}", number + 1
            slugs[key] = slug
            regions[slug] = row
    return slugs, regions


def region_words(row: Mapping[str, object]) -> str:
    """Return ``left putamen``."""
    side = {"L": "left ", "R": "right "}.get(str(row.get("hemisphere")), "")
    return f"{side}{row['name']}"


def region_slug(row: Mapping[str, object]) -> str:
    """Return ``left_putamen``; the label's number where nothing else is left of a name."""
    slug = re.sub(r"[^a-z0-9]+", "_", region_words(row).lower()).strip("_") or f"label_{row['index']}"
    return f"{row['space']}_{slug}" if row.get("space") else slug


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as comma-separated values, ``n/a`` where a value is missing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([["n/a" if value is None else value for value in row.values()] for row in rows])
    return out.getvalue()
