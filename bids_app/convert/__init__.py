"""From the scanner to BIDS: DICOM through heudiconv and the heuristics, loose NIfTI files, one report.

>>> from bids_app.convert import ConvertRequest, convert
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

from bids_app.convert.model import ConversionReport, ConvertRequest, OnEvent, Problem, Result, SeriesOutcome
from bids_app.derivatives.scratch import remove_parts, remove_scratch, scratch_folder
from bids_app.errors import UsageError

__all__ = ["ConversionReport", "ConvertRequest", "Problem", "SeriesOutcome", "conversion_page", "convert"]

_Intake = Callable[[ConvertRequest, Path, OnEvent], Result]


def convert(request: ConvertRequest, on_event: OnEvent | None = None) -> ConversionReport:
    """Convert scans to a BIDS dataset in ``request.bids_dir`` and report on every series.

    A series or a file that fails does not stop the others: see ``ConversionReport.failures`` and ``exit_code``. With
    ``dry_run`` nothing is written at all; the report says what would be done (``conversion_page`` makes it readable).

    Raises UsageError (sources, labels, patterns, heuristic), InputRefusedError (nothing that could be converted) and
    ToolMissingError (dcm2niix, heudiconv).
    """
    notify = on_event or (lambda _: None)
    intake = _intake(request)
    new = [folder for folder in (request.work_dir, request.report_dir) if not folder.exists()]
    _clear(request)
    try:
        with scratch_folder(request.work_dir.resolve(), "convert") as scratch:
            outcomes, problems, notes = intake(request, scratch, notify)
    finally:
        for folder in new:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
    report = ConversionReport(request.bids_dir, tuple(outcomes), tuple(problems), tuple(notes))
    if request.dry_run:
        return report
    from bids_app.convert.name.privacy import short_hash
    from bids_app.convert.write.report import write_report

    return write_report(report, request.report_dir, short_hash(str(request.source)))


def conversion_page(report: ConversionReport) -> str:
    """Return the readable page of a report (what a dry run shows)."""
    from bids_app.convert.write.report import as_markdown

    return as_markdown(report)


def _clear(request: ConvertRequest) -> None:
    """Remove what killed runs have left."""
    remove_scratch(request.work_dir)
    if not request.dry_run:
        remove_scratch(request.bids_dir / "sourcedata" / "conversion")
        for folder in (request.bids_dir, request.bids_dir / "sourcedata" / "conversion", request.report_dir):
            remove_parts(folder)


def _intake(request: ConvertRequest) -> _Intake:
    """Choose the way in; raises UsageError unless the source exists and outputs have places of their own."""
    if request.report_dir.resolve() == request.bids_dir.resolve():
        raise UsageError(f"The output directory is the BIDS directory itself: use {request.bids_dir}/derivatives/qsm.")
    path = request.source
    if not (path.is_file() if path == request.nifti_table else path.is_dir()):
        raise UsageError(f"{path} is not a {'file' if path == request.nifti_table else 'folder'} that exists.")
    if path == request.dicom_dir:
        from bids_app.convert.dicom import convert_dicom

        return convert_dicom
    from bids_app.convert.nifti import convert_nifti

    return convert_nifti
