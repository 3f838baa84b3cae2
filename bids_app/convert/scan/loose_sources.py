"""Where loose NIfTI files come from: a folder as dcm2niix leaves it, or a table that says what every file is."""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bids_app.convert.model import PARTS, Problem
from bids_app.convert.name.patients import sanitise
from bids_app.convert.scan.loose import Loose, series_stem, stem_of
from bids_app.derivatives.presence import absence, is_system_file
from bids_app.derivatives.text import decoded
from bids_app.errors import UsageError
from bids_app.model.json_values import JsonObject, JsonValue

_COLUMNS = {
    "path": "path",
    "file": "path",
    "subject": "subject",
    "participant_id": "subject",
    "session": "session",
    "part": "part",
    "echo": "echo",
    "echotime": "EchoTime",
    "b0": "MagneticFieldStrength",
    "magneticfieldstrength": "MagneticFieldStrength",
    "acq": "acq",
    "run": "run",
    "suffix": "suffix",
    "manufacturer": "Manufacturer",
    "units": "Units",
}
_PARTS = {**{p: p for p in PARTS}, "magnitude": "mag", "imaginary": "imag", "m": "mag", "p": "phase", "": ""}
#: No gradient echo is read out later than this (s): such a number is in milliseconds.
_LONGEST_ECHO_TIME = 0.5


def from_folder(folder: Path, outputs: Sequence[Path], problems: list[Problem]) -> list[Loose]:
    """Return the NIfTI files below a folder, but not in ``outputs``, with sidecars; without one is a problem."""
    sources = []
    ours = {path.resolve() for path in outputs}
    for path in sorted(p for p in folder.rglob("*") if p.name.lower().endswith((".nii", ".nii.gz")) and p.is_file()):
        logical = PurePosixPath(path.relative_to(folder).as_posix())
        if ours & set(path.resolve().parents) or any(is_system_file(part) for part in logical.parts):
            continue
        try:
            values = _sidecar(path)
        except ValueError as error:
            problems.append(Problem(str(logical), str(error)))
            continue
        if values is None:
            problems.append(Problem(str(logical), "has no JSON file of the same name; describe it in a --nifti-table"))
            continue
        uid = (
            values.get("SeriesInstanceUID") or f"{logical.parent / series_stem(path.name)}:{values.get('SeriesNumber')}"
        )
        sources.append(Loose(path, logical, str(uid), values, study=str(values.get("StudyInstanceUID", ""))))
    return sources


def _sidecar(path: Path) -> JsonObject | None:
    """Return what the JSON file of an image says; None when there is none."""
    sidecar = path.with_name(f"{stem_of(path.name)}.json")
    if not sidecar.is_file():
        return None
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"its JSON file cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise ValueError("its JSON file holds no fields")
    return values


def from_table(table: Path, problems: list[Problem]) -> tuple[list[Loose], dict[str, tuple[str, str | None]]]:
    """Return the files that a table lists, and subject and session of each examination in it.

    Paths are relative to the table. A list of echo times (``0.004,0.008``) describes an image with four dimensions.
    Raises UsageError for a table that cannot be understood; a row that is wrong is a problem.
    """
    sources: list[Loose] = []
    places: dict[str, tuple[str, str | None]] = {}
    lines: dict[str, int] = {}
    for number, row in _rows(table):
        try:
            if row["path"] in lines:
                raise ValueError(f"path {row['path']!r} is in line {lines[row['path']]} already; keep one of them")
            loose = _from_row(table, row)
            lines[row["path"]] = number
        except ValueError as error:
            problems.append(Problem(f"{table.name}, line {number}", str(error)))
            continue
        sources.append(loose)
        places[loose.study] = row["subject"], row.get("session") or None
    return sources, places


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if problem := absence(table):
        raise UsageError(f"--nifti-table {table}: {problem}")
    text, note = decoded(table.read_bytes())
    if note:
        raise UsageError(f"--nifti-table {table}: is not UTF-8; save it as UTF-8 (iconv -f latin1 -t utf-8)")
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter)
    columns = {c: _COLUMNS.get(re.sub(r"\s*\(.*\)|[\s_]+$", "", c.strip()).lower()) for c in reader.fieldnames or ()}
    missing = {"path", "subject"} - set(columns.values())
    if missing:
        raise UsageError(f"--nifti-table {table} has no column {' and '.join(sorted(missing))}.")
    for number, line in enumerate(reader, start=2):
        cells = {columns[c]: (v or "").strip() for c, v in line.items() if c is not None and columns[c]}
        yield number, {str(k): "" if v.lower() == "n/a" else v for k, v in cells.items()}


def _from_row(table: Path, row: Mapping[str, str]) -> Loose:
    path = table.parent / row["path"]
    if not row["path"] or not path.is_file():
        raise ValueError(f"there is no file {row['path']!r}; paths are relative to the table")
    if not sanitise(row["subject"]):
        raise ValueError("the subject is empty")
    part = row.get("part", "").lower()
    if part not in _PARTS:
        raise ValueError(f"part is {row['part']!r}; it is one of {', '.join(PARTS)}")
    values = dict(_sidecar(path) or {})
    for name in ("EchoTime", "MagneticFieldStrength", "Manufacturer", "Units"):
        if row.get(name):
            values[name] = _numbers(name, row[name]) if name in ("EchoTime", "MagneticFieldStrength") else row[name]
    if row.get("echo"):
        values["EchoNumber"] = _numbers("echo", row["echo"])
    if row.get("suffix"):
        values.setdefault("SeriesDescription", row["suffix"])
    study = f"{row['subject']}:{row.get('session', '')}"
    # Rows of one subject and session are one acquisition, unless the table separates them.
    series = ":".join([study, *(row.get(x, "") for x in ("acq", "run", "suffix"))])
    if row.get("acq"):
        values["ProtocolName"] = row["acq"]
    logical = PurePosixPath(row["path"].replace("\\", "/"))
    return Loose(path, logical, series, values, _PARTS[part], study)


def _numbers(name: str, text: str) -> JsonValue:
    """Return a number, or a list of them."""
    if re.fullmatch(r"\s*\d+,\d+\s*", text):
        raise ValueError(
            f"{name} is {text.strip()!r}: write {text.strip().replace(',', '.')}; a comma separates numbers"
        )
    try:
        numbers = [float(x) for x in re.split(r"[,;\s]+", text.strip("[] "))]
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}: no number") from error
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ValueError(f"{name} is {text!r}: it is above 0")
    if name == "EchoTime" and max(numbers) > _LONGEST_ECHO_TIME:
        raise ValueError(f"EchoTime is {text}: it looks like milliseconds, seconds are wanted")
    return numbers if len(numbers) > 1 else numbers[0]
