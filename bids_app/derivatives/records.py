"""The records of the steps on disk: the one loader and the one writer of :class:`StepRecord`."""

import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bids_app.derivatives.files import write_json
from bids_app.derivatives.names import record_folder
from bids_app.derivatives.presence import read_regular_file
from bids_app.derivatives.products import PRODUCTS
from bids_app.errors import QsmAppError
from bids_app.model.aliases import STEPS
from bids_app.model.naming import entities_in
from bids_app.model.records import Entities, Record
from bids_app.model.step_record import StepRecord

#: Between the basename and the step in a record's file name.
_MARK = "_step-"
#: No record is larger, bytes: that of a table over 10,000 participants has a few million.
_MAX_BYTES = 1 << 28


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
    """Return a step's record; None where there is none, or it is damaged."""
    try:
        return StepRecord.from_mapping(json.loads(read_regular_file(path, _MAX_BYTES).decode()))
    except (OSError, ValueError, RecursionError):
        return None


def load_own_record(path: Path) -> StepRecord | None:
    """Return a step's record as :func:`load_record`; one that names what is not its own counts as damaged.

    That is a record of another run or step than its file name says, or with products of others: what it names is shown,
    compared and removed. Metrics, warnings and methods that have another digest than the record's are damaged too.
    """
    record = load_record(path)
    if record is None or (record.basename, record.step) != split_name(path):
        return None
    if record.results not in ("", record.digest_of_results()):  # an earlier version did not write it
        return None
    are_own = (_is_own(key, relative, record.basename) for key, relative in record.paths.items())
    return record if all(are_own) else None


def _is_own(key: str, relative: str, basename: str) -> bool:
    """Return whether a product of a record lies where those of its participant do (a working file: in any folder)."""
    if key not in PRODUCTS:  # of another version: nobody asks for it
        return True
    product, path = PRODUCTS[key], PurePosixPath(relative)
    entities, basename_entities = dict(entities_in(path.name)), dict(entities_in(basename))
    if any(entities.get(name) != basename_entities.get(name) for name in ("sub", "ses")):
        return False
    if not path.name.endswith(f"_{product.suffix}{product.extension}"):
        return False
    folder = PurePosixPath(record_folder(entities, Path()))
    return product.in_work_dir or (folder in path.parents and ".." not in path.parts)


def is_damaged(path: Path) -> bool:
    """Return whether there is something in the place of a record that is none."""
    return os.path.lexists(path) and load_own_record(path) is None


def remove_record(path: Path) -> None:
    """Remove a record, or what is in its place.

    Raises
    ------
    QsmAppError
        If it cannot be removed, because it is a folder for example.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise QsmAppError(
            f"{path} cannot be removed: {error.strerror or error}; a record belongs there, remove it yourself"
        ) from error


def load_records(folder: Path) -> Iterator[StepRecord]:
    """Yield the records below a folder that can be read."""
    for path in record_files(folder):
        record = load_record(path)
        if record is not None:
            yield record


def write_record(path: Path, record: StepRecord) -> None:
    """Write a step's record, atomically."""
    write_json(path, record.to_mapping())
