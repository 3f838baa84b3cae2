"""Tables of participants and sessions, checked cell by cell: nothing in them is taken for something else."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bids_app.derivatives.presence import absence
from bids_app.derivatives.text import cells_of, decoded
from bids_app.model.json_values import JsonObject

MISSING = ("", "n/a", "N/A", "NA", "nan", "NaN")
#: The cells of a line by the name of the column; None: empty.
Row = dict[str, str | None]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")
#: Ages above 89 are written so, by BIDS and by the conversion.
_CAPPED = re.compile(r"(\d+)\+$")
#: Data types that a column's description may name for numbers.
_NUMERIC_TYPES = ("number", "integer", "float", "numeric")
#: So many problems of one table are listed.
_LISTED = 20


def read_checked(path: Path, key: str) -> tuple[list[Row], list[str]]:
    """Return the rows of a table, missing values as None and numbers as they are, and a sentence for every problem."""
    problem = absence(path)
    if problem:
        return [], [f"{path.name}: {problem}"]
    text, note = decoded(path.read_bytes())
    if note:
        encoding = "utf-16" if "UTF-16" in note else "latin1"
        return [], [f"{path.name}: is not UTF-8; save it as UTF-8 (iconv -f {encoding} -t utf-8)"]
    lines = cells_of(text)
    if not lines or key not in (header := [name.strip() for name in lines[0]]):
        return [], [f"{path.name}: line 1: there is no column {key}; columns are separated by tabs"]
    problems = [f"{path.name}: line 1: column {name!r} is there twice" for name in sorted(_repeated(header))]
    rows: list[tuple[int, Row]] = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"{path.name}: line {number}: has {len(cells)} cells, the header has {len(header)}")
            continue
        values = [None if cell.strip() in MISSING else cell.strip() for cell in cells]
        rows.append((number, dict(zip(header, values, strict=True))))
    problems += [f"{path.name}: {text}" for text in (*_keys(rows, key), *_numbers(path, rows, header, key))]
    if len(problems) > _LISTED:
        problems = [*problems[:_LISTED], f"{path.name}: and {len(problems) - _LISTED} more"]
    return [row for _, row in rows], problems


def check_tables(participants: Path | None, sessions: Sequence[Path]) -> list[str]:
    """Return a sentence for everything that is wrong in participants.tsv and all sessions.tsv."""
    problems = read_checked(participants, "participant_id")[1] if participants is not None else []
    for path in sessions:
        problems += read_checked(path, "session_id")[1]
    return problems


def dictionaries(path: Path) -> tuple[Path, ...]:
    """Return the dictionaries of a table that are there, the nearest first; those of sessions may share one."""
    nearest = path.with_suffix(".json")
    places = (nearest,) if path.name == "participants.tsv" else (nearest, path.parent.parent / "sessions.json")
    return tuple(place for place in places if place.is_file())


def listings(participants: Path | None, sessions: Sequence[Path]) -> dict[str, Path]:
    """Return the tables of a dataset and their dictionaries by name, as the sources of a step that reads covariates."""
    files = {"participants": participants} if participants is not None else {}
    files |= {f"sessions@{path.name}": path for path in sessions}
    listed = dict.fromkeys(path for table in files.values() for path in dictionaries(table))
    return files | {f"dictionary@{path.name}": path for path in listed}


def description(path: Path, column: str) -> JsonObject | None:
    """Return what the dictionary of a table says of a column."""
    for sidecar in dictionaries(path):
        try:
            known = json.loads(sidecar.read_text(encoding="utf-8")).get(column)
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(known, dict):
            return dict(known)
    return None


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _keys(rows: Sequence[tuple[int, Row]], key: str) -> Iterator[str]:
    seen: dict[str, int] = {}
    for number, row in rows:
        value = row[key]
        if value is None:
            yield f"line {number}: {key} is empty"
        elif value[:4].lower() in ("sub-", "ses-") and not value.startswith(("sub-", "ses-")):
            yield f"line {number}: {value} is nobody's label: BIDS writes {value[:4].lower()} in lower case"
        elif value in seen:
            yield f"line {number}: {value} is in line {seen[value]} already; keep one of them"
        else:
            seen[value] = number


def _numbers(path: Path, rows: Sequence[tuple[int, Row]], header: Sequence[str], key: str) -> Iterator[str]:
    """Compare the cells of a column of numbers; ``89+`` becomes the number."""
    for column in dict.fromkeys(header):
        cells = [(number, row, value) for number, row in rows if (value := row[column]) is not None]
        if column == key or not cells:
            continue
        meta = description(path, column) or {}
        declared = "Units" in meta or str(meta.get("DataType", meta.get("Type", ""))).lower() in _NUMERIC_TYPES
        capped = [_CAPPED.match(value) for _, _, value in cells]
        numeric = sum(bool(_NUMBER.match(value)) for _, _, value in cells)
        if not declared and ("Levels" in meta or numeric + sum(map(bool, capped)) <= len(cells) / 2 or not numeric):
            continue
        for (number, row, value), cap in zip(cells, capped, strict=True):
            if cap:
                row[column] = cap[1]
            elif not _NUMBER.match(value):
                advice = (
                    f"write {value.replace(',', '.')}" if re.match(r"[-+]?\d+,\d+$", value) else "correct it, or n/a"
                )
                yield f"line {number}, column {column}: {value!r} is no number, as the others are; {advice}"
