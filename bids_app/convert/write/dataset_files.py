"""Files of the dataset as a whole: description, participants, README, and the notes on where everything came from.

Several commands may convert different subjects into one dataset at the same time. These files are not locked: they are
replaced by rename, and the table of participants is read again after writing until every converted subject is in it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bids_app import __version__
from bids_app.convert.name.patients import Place
from bids_app.convert.write.tables import read_table, write_table
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.text import utf8
from bids_app.model.json_values import JsonObject

_ATTEMPTS = 20
_COIL_FILES = "*_coil-*"
_README = """# {name}

This dataset was converted with QSM BIDS App {version} (heudiconv and dcm2niix) for quantitative susceptibility mapping.

* `sub-*/anat`: gradient-echo images (`MEGRE`, `T2starw`; `part-mag`, `part-phase`) and T1-weighted images.
* `sub-*/fmap`: field maps in Hz that the scanner computed, where a session has no phase.
* Phase images are as the scanner stored them; `Units` in their sidecars says `rad` or `arbitrary`.
* `sourcedata/conversion` says which original study became which subject and session, and how.

Patients' names, identities and birth dates were left out.
"""


def write_dataset_files(bids_dir: Path) -> None:
    """Write what a BIDS dataset needs at its top, unless it is there already."""
    bids_dir.mkdir(parents=True, exist_ok=True)
    name = bids_dir.resolve().name
    _create_json(
        bids_dir / "dataset_description.json",
        {
            "Name": name,
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "GeneratedBy": [{"Name": "QSM BIDS App", "Version": __version__, "Description": "conversion level"}],
        },
    )
    _create_json(
        bids_dir / "participants.json",
        {
            "participant_id": {"Description": "Participant identifier"},
            "age": {"Description": "Age at the first converted study, from DICOM; 89+ above 89", "Units": "year"},
            "sex": {"Description": "Sex, from DICOM", "Levels": {"M": "male", "F": "female", "O": "other"}},
        },
    )
    _create_json(
        bids_dir / "scans.json",
        {
            "filename": {"Description": "Image, relative to this table"},
            "acq_time": {"Description": "Begin of the acquisition, from DICOM"},
        },
    )
    if not any((bids_dir / n).exists() for n in ("README", "README.md", "README.txt", "README.rst")):
        write_bytes(bids_dir / "README.md", utf8(_README.format(name=name, version=__version__)))


def ignore_coils(bids_dir: Path) -> None:
    """Let BIDS validators ignore images of single coil elements: BIDS has no entity for them yet."""
    path = bids_dir / ".bidsignore"
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if _COIL_FILES not in before.splitlines():
        write_bytes(path, f"{before.rstrip()}\n{_COIL_FILES}\n".lstrip().encode("utf-8"))


def _create_json(path: Path, values: Mapping[str, object]) -> None:
    """Write a JSON file unless there is one."""
    if not path.exists():
        write_json(path, values)


def add_participants(bids_dir: Path) -> None:
    """Add the subjects that were converted to ``participants.tsv``; other rows and columns stay as they are.

    A run that writes at the same time may have read the table before: the table is read again until it holds all.
    """
    path = bids_dir / "participants.tsv"
    for _ in range(_ATTEMPTS):
        columns, rows = read_table(path)
        wanted = _noted_people(bids_dir)
        missing = sorted(set(wanted) - {r.get("participant_id", "").removeprefix("sub-") for r in rows})
        if not missing:
            return
        columns = columns or ["participant_id", "age", "sex"]
        rows += [{"participant_id": f"sub-{label}", **wanted[label]} for label in missing]
        rows.sort(key=lambda r: r.get("participant_id", ""))
        write_table(path, columns, rows)
    raise RuntimeError(f"{path} is rewritten all the time by other programs")


def age_of(dicom_age: str) -> str:
    """Return years from DICOM's age (``054Y``, ``018M``); empty when unknown, ``89+`` above 89."""
    match = re.fullmatch(r"(\d{1,3})([YMWD])", dicom_age.strip())
    if not match:
        return ""
    years = int(match.group(1)) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[match.group(2)]
    if years > 89:
        return "89+"
    return f"{years:.0f}" if years >= 3 else f"{years:.2f}"


def notes_dir(bids_dir: Path) -> Path:
    """Return the folder of the conversion notes."""
    return bids_dir / "sourcedata" / "conversion"


def read_notes(bids_dir: Path) -> dict[str, JsonObject]:
    """Return the notes of earlier runs by subject; one file per study, so that runs do not share files."""
    by_subject: dict[str, JsonObject] = {}
    for note in _notes(bids_dir, "sub-*.json"):
        subject = by_subject.setdefault(note["subject"], {"studies": {}})
        subject["studies"][note["study"]] = note["session"]
        subject.setdefault("age", note.get("age", ""))
        subject.setdefault("sex", note.get("sex", ""))
    return by_subject


def known_studies(bids_dir: Path) -> dict[str, dict[str, str | None]]:
    """Return for each subject of earlier runs the session of every study (by hash of its UID)."""
    return {subject: note["studies"] for subject, note in read_notes(bids_dir).items()}


def noted_series(bids_dir: Path, subject: str, session: str | None) -> dict[str, JsonObject]:
    """Return what earlier runs noted on the series of a session, by hash and by number and description."""
    name = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    rows: dict[str, JsonObject] = {}
    for note in _notes(bids_dir, f"{name}_*.json"):
        if (note["subject"], note["session"]) == (subject, session):
            for row in note.get("series") or ():
                key = row.get("series_hash") or f"{row.get('series')}/{row.get('description')}"
                rows[key] = row
    return rows


def _notes(bids_dir: Path, pattern: str) -> Iterator[JsonObject]:
    """Yield the notes that can be read; other files of the folder are not ours."""
    for path in sorted(notes_dir(bids_dir).glob(pattern)):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(note, dict) and {"subject", "session", "study"} <= note.keys():
            yield note


def _noted_people(bids_dir: Path) -> dict[str, dict[str, str]]:
    """Return age and sex of all subjects that are in the dataset and have notes."""
    return {
        label: {"age": note["age"], "sex": note["sex"]}
        for label, note in read_notes(bids_dir).items()
        if (bids_dir / f"sub-{label}").is_dir()
    }


def write_note(
    bids_dir: Path,
    place: Place,
    study: str,
    person: Mapping[str, str],
    original: str,
    series: Sequence[Mapping[str, object]],
) -> None:
    """Write the note on one study: what it was called, what it became, series by series."""
    name = f"sub-{place.subject}" + (f"_ses-{place.session}" if place.session else "") + f"_{study}.json"
    write_json(
        notes_dir(bids_dir) / name,
        {
            "subject": place.subject,
            "session": place.session,
            "original": original,
            "basis": place.basis,
            "study": study,
            "age": person.get("age", ""),
            "sex": person.get("sex", ""),
            "converted": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "series": list(series),
        },
    )
