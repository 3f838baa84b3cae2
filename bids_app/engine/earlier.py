"""Tables of the group that an earlier command made and this one does not: removed, so that nobody reads them as new."""

from collections.abc import Sequence
from pathlib import Path

from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import load_own_record, records_root, remove_record, split_name
from bids_app.engine.cache import files_of
from bids_app.engine.job import Job, StepsJob


def steps_by_job(jobs: Sequence[Job]) -> dict[str, tuple[str, ...]]:
    """Return the names of the steps of every job that runs steps."""
    return {job.name: job.step_names for job in jobs if isinstance(job, StepsJob)}


def remove_earlier_tables(jobs: Sequence[Job], output_dir: Path) -> list[Path]:
    """Remove the group's tables that no job of the command makes, with their records, and return them.

    Maps in a common space stay: they take hours, and the page of the group lists them.
    """
    expected, removed = steps_by_job(jobs), list[Path]()
    for path in sorted(records_root(output_dir).glob("group*.json")):
        basename, step = split_name(path)
        if not basename or step in expected.get(basename, ()):
            continue
        record = load_own_record(path)
        for key in record.paths if record is not None else ():
            if key in PRODUCTS and not PRODUCTS[key].in_work_dir:
                files = files_of(key, product_path(PRODUCTS[key], {}, output_dir, output_dir))
                removed += [file for file in files if file.is_file() and file.name.startswith("group_")]
        remove_record(path)
    for file in removed:
        file.unlink(missing_ok=True)
    return removed
