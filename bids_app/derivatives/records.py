"""The records of the steps on disk: the one loader and the one writer of :class:`StepRecord`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from bids_app.derivatives.files import write_json
from bids_app.derivatives.names import record_folder
from bids_app.model.aliases import STEPS
from bids_app.model.records import Entities, Record
from bids_app.model.step_record import StepRecord

#: Between the basename and the step in a record's file name.
_MARK = "_step-"


def records_root(output_dir: Path) -> Path:
    """Return the folder that holds all records of an output directory."""
    return output_dir / "logs" / "records"


def records_folder(entities: Entities, output_dir: Path) -> Path:
    """Return where the records of a participant's session, of a template or of the group are kept."""
    return record_folder(dict(entities), records_root(output_dir))


def record_path(step: str, record: Record, output_dir: Path) -> Path:
    """Return where the record of a step over ``record`` is kept."""
    return records_folder(record.entities, output_dir) / f"{record.basename}{_MARK}{step}.json"


def split_name(path: Path) -> tuple[str, str]:
    """Return basename and step of a record by its file name; two empty texts where it is no record's name.

    Steps of earlier versions have their new names.
    """
    basename, mark, step = path.name.removesuffix(".json").rpartition(_MARK)
    return (basename, STEPS.get(step, step)) if mark and path.suffix == ".json" else ("", "")


def record_files(folder: Path) -> Iterator[Path]:
    """Yield the files of the records below a folder, those of one folder in the order of their names."""
    for place, _, files in os.walk(folder):  # several times as fast as a pattern, for thousands of participants
        yield from (Path(place) / name for name in sorted(files) if _MARK in name and name.endswith(".json"))


def load_record(path: Path) -> StepRecord | None:
    """Return a step's record; None where there is none, or it is damaged (a run may be writing it)."""
    try:
        return StepRecord.from_mapping(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError):
        return None


def load_records(folder: Path) -> Iterator[StepRecord]:
    """Yield the records below a folder that can be read."""
    for path in record_files(folder):
        record = load_record(path)
        if record is not None:
            yield record


def write_record(path: Path, record: StepRecord) -> None:
    """Write a step's record, atomically."""
    write_json(path, record.to_mapping())
