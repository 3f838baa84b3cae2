"""Series that come after their session was converted: recognised, reported, and added when that is asked for."""

import filecmp
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bids_app.convert.model import CONVERTED, KEPT, NOT_CONVERTED, PLANNED, SeriesOutcome
from bids_app.convert.name.plan import SeriesPlan
from bids_app.convert.write import dataset_files
from bids_app.convert.write.session import PlacementError
from bids_app.convert.write.tables import read_table, write_table
from bids_app.derivatives.scratch import scratch_folder
from bids_app.model.json_values import JsonObject

Noted = Mapping[str, JsonObject]


def compare(
    outcomes: Mapping[str, SeriesOutcome],
    plans: Sequence[SeriesPlan],
    bids_dir: Path,
    subject: str,
    session: str | None,
    add: bool,
) -> tuple[dict[str, SeriesOutcome], list[SeriesPlan]]:
    """Return the fate of every series of a session that is in the dataset, and the plans that are left to convert.

    A series is in the dataset when the note on its study lists it as converted and its images are there, or, without a
    note, when images of all its planned names are there.
    """
    notes = dataset_files.noted_series(bids_dir, subject, session)
    by_uid = {plan.series.facts.uid: plan for plan in plans}
    where = f"sub-{subject}" + (f"/ses-{session}" if session else "")
    updated, left = dict(outcomes), []
    for uid, outcome in outcomes.items():
        noted = notes.get(outcome.uid) or notes.get(f"{outcome.number}/{outcome.description}") or {}
        outputs = tuple(noted.get("outputs") or ()) if noted.get("status") == CONVERTED else ()
        names = outputs or (outcome.outputs if not notes else ())
        if names and all((bids_dir / name).is_file() for name in names):
            reason = f"{where} is in the dataset already; remove it to convert it anew"
            updated[uid] = outcome.with_status(KEPT, reason, outcome.way, outputs)
        elif outcome.status == PLANNED:
            if add:
                left.append(by_uid[uid])
            else:
                reason = f"came after {where} was converted: add it with --add, or remove {where} to convert it anew"
                updated[uid] = outcome.with_status(NOT_CONVERTED, reason)
    return updated, left


def place_additions(tree: Path, bids_dir: Path, subject: str, session: str | None) -> None:
    """Move new images and sidecars into a session that is there; no file is replaced.

    Sidecars come before images, so that an image is never without its description, and the table of scans comes last.

    Raises PlacementError when another file has one of the names.
    """
    files = sorted((p for p in tree.rglob("*") if p.is_file()), key=lambda p: (p.name.endswith(".nii.gz"), p))
    table = next((p for p in files if p.name.endswith("_scans.tsv")), None)
    images = [p for p in files if p != table]
    for path in images:
        target = bids_dir / path.relative_to(tree)
        if target.exists() and not filecmp.cmp(path, target, shallow=False):
            raise PlacementError(f"{target.name} is in the dataset already, with other content; nothing was added")
    with scratch_folder(bids_dir / "sourcedata" / "conversion", "staging") as staging:
        for number, path in enumerate(images):
            target = bids_dir / path.relative_to(tree)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _move(path, staging / f"{number}", target)
    if table is not None:
        _add_rows(table, bids_dir / table.relative_to(tree))


def _move(path: Path, staged: Path, target: Path) -> None:
    staged.write_bytes(path.read_bytes())  # may cross file systems: the link below does not
    staged.chmod(path.stat().st_mode & 0o777)
    try:
        os.link(staged, target)  # refuses a name that is taken
    except FileExistsError as error:
        raise PlacementError(f"{target.name} was put into the dataset by another run") from error
    except OSError:  # a file system without hard links
        staged.replace(target)


def _add_rows(new: Path, table: Path) -> None:
    columns, rows = read_table(table)
    added_columns, added = read_table(new)
    known = {row.get("filename") for row in rows}
    rows += [row for row in added if row["filename"] not in known]
    names = [*columns, *(name for name in added_columns if name not in columns)]
    rows.sort(key=lambda row: row.get("filename", ""))
    write_table(table, names, rows)


def noted_rows(notes: Noted, outcomes: Sequence[SeriesOutcome]) -> Iterator[Mapping[str, object]]:
    """Yield the earlier rows of series that are kept, and rows of what is new, for the note on their study."""
    for outcome in outcomes:
        noted = notes.get(outcome.uid) or notes.get(f"{outcome.number}/{outcome.description}")
        if outcome.status == KEPT and noted:
            yield {**noted, "series_hash": outcome.uid}
        else:
            yield {
                "series": outcome.number,
                "series_hash": outcome.uid,
                "description": outcome.description,
                "status": outcome.status,
                "reason": outcome.reason,
                "converted_with": outcome.way,
                "outputs": list(outcome.outputs),
            }
