"""The series table (``--series``): a person's word on single series, which wins over the heuristic.

Each row says which series it is about (``subject``, ``session``, ``series``, ``description``, ``source``,
``series_hash``; ``*`` and ``?`` stand for any text, an empty cell for anything) and what becomes of them: ``name`` is
``skip`` or the end of a BIDS name such as ``acq-fine_run-2_MEGRE``; ``part`` is what the images hold. A copy of the
conversion report with these two columns is a series table too.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from bids_app.convert.classify.field_maps import FIELD_MAP_SUFFIXES
from bids_app.convert.classify.series import Series
from bids_app.convert.model import PARTS, SeriesOutcome
from bids_app.convert.name.heuristic import add_entity, get_entity
from bids_app.derivatives.text import cells_of, decoded
from bids_app.errors import UsageError

#: Columns that say which series a row is about.
KEYS = ("subject", "session", "series", "description", "source", "series_hash")
#: Columns that say what becomes of them.
VALUES = ("name", "part")
#: Columns of the conversion report that are no keys: a copy of the report is a series table.
_OF_THE_REPORT = ("status", "reason", "converted_with", "outputs", "files")
#: In the column ``name``: the series is left out.
SKIP = "skip"
#: Suffixes of images that a name may end with.
SUFFIXES = ("MEGRE", "T2starw", "T1w", "MESE", "UNIT1", "T2w", "FLAIR", "fieldmap", "magnitude")

_NAME = re.compile(rf"((?!sub-|ses-)[a-z]+-[A-Za-z0-9]+_)*({'|'.join(SUFFIXES)})")
_MISSING = ("", "n/a")
_WORDS = {"mag": "magnitude", "phase": "phase", "real": "real part", "imag": "imaginary part"}


@dataclass(frozen=True)
class Row:
    """What is said of the series that agree with ``keys``."""

    line: int
    keys: Mapping[str, str]
    name: str = ""
    part: str = ""

    def is_about(self, outcome: SeriesOutcome) -> bool:
        """Return whether a series agrees with all keys."""
        number = "" if outcome.number is None else str(outcome.number)
        facts = {
            "subject": outcome.subject,
            "session": outcome.session or "",
            "series": number,
            "description": outcome.description,
            "source": outcome.source,
            "series_hash": outcome.uid,
        }
        return all(fnmatchcase(facts[key], wanted) for key, wanted in self.keys.items())


@dataclass(frozen=True)
class SeriesTable:
    """All rows; of rows about one series the last one that says something wins."""

    path: Path | None = None
    rows: tuple[Row, ...] = ()

    def of(self, outcome: SeriesOutcome) -> tuple[str, str]:
        """Return name and part of a series; empty texts where the table says nothing."""
        name = part = ""
        for row in self.rows:
            if row.is_about(outcome):
                name, part = row.name or name, row.part or part
        return name, part

    def unused(self, outcomes: Sequence[SeriesOutcome]) -> list[str]:
        """Return a sentence for every row that is about none of the series."""
        return [
            f"{self.path}, line {row.line}: no series of these scans agrees with this row"
            for row in self.rows
            if not any(row.is_about(outcome) for outcome in outcomes)
        ]


def read_series_table(path: Path | None) -> SeriesTable:
    """Return the series table of a file (None: an empty one).

    Raises
    ------
    UsageError
        If the file cannot be read, has an unknown column, or a cell holds no name or part.
    """
    if path is None:
        return SeriesTable()
    try:
        text, _ = decoded(path.read_bytes())
    except OSError as error:
        raise UsageError(f"--series: {path} cannot be read: {error.strerror or error}") from error
    lines = cells_of(text)
    header = [name.strip() for name in lines[0]] if lines else []
    unknown = [name for name in header if name not in (*KEYS, *VALUES, *_OF_THE_REPORT)]
    if unknown or not set(VALUES) & set(header) or not set(KEYS) & set(header):
        what = f"unknown column {unknown[0]!r}" if unknown else "columns are missing"
        raise UsageError(
            f"--series: {path}, line 1: {what}; it needs name or part, and one of {', '.join(KEYS)}, with tabs between"
        )
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) > len(header):
            raise UsageError(f"--series: {path}, line {number}: has {len(cells)} cells, the header has {len(header)}")
        row = _row(path, number, dict(zip(header, map(str.strip, cells), strict=False)))
        if row.name or row.part:
            rows.append(row)
    return SeriesTable(path, tuple(rows))


def _row(path: Path, line: int, cells: Mapping[str, str]) -> Row:
    values = {name: cells.get(name, "") for name in VALUES}
    values = {name: "" if value in _MISSING else value for name, value in values.items()}
    keys = {key: cells[key] for key in KEYS if cells.get(key, "") not in _MISSING}
    keys |= {k: keys[k].removeprefix(p) for k, p in (("subject", "sub-"), ("session", "ses-")) if k in keys}
    problem = name_problem(values["name"])
    if values["part"] not in ("", *PARTS):
        problem = f"part is {values['part']!r}; write one of {', '.join(PARTS)}"
    if any(values.values()) and not keys:
        problem = f"does not say which series it is about; fill in one of {', '.join(KEYS)}"
    if problem:
        raise UsageError(f"--series: {path}, line {line}: {problem}")
    return Row(line, keys, values["name"], values["part"])


def name_problem(name: str) -> str:
    """Return what is wrong with a name of the table, or an empty text."""
    if name in ("", SKIP) or _NAME.fullmatch(name):
        return ""
    return (
        f"name is {name!r}; write {SKIP}, or a suffix ({', '.join(SUFFIXES)}) with entities such as acq-fine_run-2_ "
        "before it"
    )


def corrected(series: Series, part: str) -> tuple[Series, str]:
    """Return a series whose images hold what the table says, and a remark for the report.

    Where the table says magnitude, the values are checked as if the header said nothing: no phase becomes a magnitude.

    Raises
    ------
    UsageError
        If the series holds several parts, which one word cannot correct.
    """
    facts = series.facts
    if not part or facts.parts == {part}:
        return series, ""
    if len(facts.parts) > 1:
        held = ", ".join(sorted(_WORDS.get(p, p) for p in facts.parts))
        raise UsageError(f"--series calls it {part}, but its header says that it holds {held}; leave the part out")
    before = _WORDS.get(next(iter(facts.parts)), "something else")
    files = {replace(volume, part=part): paths for volume, paths in series.files.items()}
    remark = f"{_WORDS[part]} by --series" + (f" (its header says {before})" if facts.is_stated else "")
    facts = replace(facts, volumes=tuple(files), is_stated=part != "mag")
    return Series(facts, series.instances, files), remark


def full_names(wishes: Mapping[str, str], series: Mapping[str, Series], start: str) -> dict[str, list[str]]:
    """Return the paths of named series by UID; echoes that came as series of their own get their numbers.

    Parameters
    ----------
    wishes : mapping
        Names of the table by series UID, none of them ``skip``.
    series : mapping
        The series by UID.
    start : str
        Folder and first entities of every name, such as ``sub-1/anat/sub-1_``.
    """
    times: dict[tuple[str, frozenset[str]], set[float]] = defaultdict(set)
    for uid, name in wishes.items():
        times[name, series[uid].facts.parts] |= set(series[uid].facts.echo_times)
    names = {}
    for uid, name in wishes.items():
        place = start.replace("/anat/", "/fmap/") if name.rpartition("_")[2] in FIELD_MAP_SUFFIXES else start
        facts, path = series[uid].facts, place + name
        echoes = sorted(times[name, facts.parts])
        if len(facts.echo_times) == 1 < len(echoes) and get_entity(path, "echo") is None:
            path = add_entity(path, "echo", str(echoes.index(facts.echo_times[0]) + 1))
        names[uid] = [path]
    return names
