"""From the scanner to BIDS: DICOM through heudiconv and the heuristics, loose NIfTI files, one report.

>>> from bids_app.convert import ConvertRequest, convert
"""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from bids_app.convert.model import (
    CONVERTED,
    ConversionReport,
    ConvertRequest,
    OnEvent,
    Problem,
    Result,
    SeriesOutcome,
)
from bids_app.errors import UsageError

__all__ = ["ConversionReport", "ConvertRequest", "Problem", "SeriesOutcome", "conversion_page", "convert"]

_Intake = Callable[[ConvertRequest, Path, OnEvent], Result]


def convert(request: ConvertRequest, on_event: OnEvent | None = None) -> ConversionReport:
    """Convert scans to a BIDS dataset in ``request.bids_dir`` and report on every series.

    A series or a file that fails does not stop the others: see ``ConversionReport.failures`` and ``exit_code``. With
    ``dry_run`` nothing is written at all; the report tells what would be done (``conversion_page`` makes it readable).

    Raises UsageError (sources, labels, patterns, heuristic), InputRefusedError (nothing that could be converted) and
    ToolMissingError (dcm2niix, heudiconv).
    """
    tell = on_event or (lambda _: None)
    intake = _intake(request)
    scratch = request.work_dir.resolve() / f"convert-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    scratch.mkdir(parents=True)
    try:
        outcomes, problems, notes = intake(request, scratch, tell)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    done = sorted({o.subject for o in outcomes if o.status == CONVERTED})
    report = ConversionReport(request.bids_dir, tuple(outcomes), tuple(problems), tuple(notes), converted=tuple(done))
    if request.dry_run:
        return report
    from bids_app.convert.report import write_report

    return write_report(report, request.report_dir)


def conversion_page(report: ConversionReport) -> str:
    """Return the readable page of a report (what a dry run shows)."""
    from bids_app.convert.report import as_markdown

    return as_markdown(report)


def _intake(request: ConvertRequest) -> _Intake:
    """Choose the way in; raises UsageError unless there is exactly one source and it exists."""
    sources = {
        "--dicom-dir": request.dicom_dir,
        "--nifti-dir": request.nifti_dir,
        "--nifti-table": request.nifti_table,
    }
    given = {option: path for option, path in sources.items() if path is not None}
    if len(given) != 1:
        raise UsageError(f"Give exactly one of {', '.join(sources)} (given: {', '.join(given) or 'none'}).")
    option, path = next(iter(given.items()))
    if not (path.is_file() if option == "--nifti-table" else path.is_dir()):
        kind = "file" if option == "--nifti-table" else "folder"
        raise UsageError(f"{option} {path} is not a {kind}.")
    if option == "--dicom-dir":
        from bids_app.convert.dicom import convert_dicom

        return convert_dicom
    raise UsageError(f"{option} cannot be converted yet: only --dicom-dir can.")
