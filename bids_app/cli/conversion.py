"""The convert level: from a Config to a BIDS dataset, and what is left to do on it."""

from dataclasses import replace
from functools import partial

from bids_app.cli.config import Config
from bids_app.cli.event_log import EventLog
from bids_app.convert import ConversionReport, ConvertRequest, conversion_page, convert
from bids_app.convert.model import PLANNED
from bids_app.convert.name.patients import sanitise
from bids_app.engine.claims import claimed_subjects
from bids_app.errors import InputRefusedError


def convert_first(config: Config) -> tuple[int, Config]:
    """Convert the scans and return the exit code and the Config of the levels that follow (none: nothing is left).

    Raises
    ------
    UsageError
        If the source, a label, a pattern or the heuristic is wrong.
    InputRefusedError
        If nothing in the input can be converted; the report gives the reason, series by series.
    ToolMissingError
        If dcm2niix or heudiconv is not installed.
    OutputInUseError
        If another command converts one of the subjects into the same dataset.
    """
    scans = config.scans
    request = ConvertRequest(
        bids_dir=config.bids_dir,
        report_dir=config.output_dir,
        work_dir=config.work_dir,
        dicom_dir=scans.dicom_dir,
        nifti_dir=scans.nifti_dir,
        nifti_table=scans.nifti_table,
        participant_labels=config.selection.participants,
        session_labels=config.selection.sessions,
        heuristic=scans.heuristic,
        subject_pattern=scans.subject_pattern,
        session_pattern=scans.session_pattern,
        series_table=scans.series,
        add=scans.add,
        dry_run=config.dry_run,
        nprocs=config.nprocs * config.omp_nthreads,
        claim=partial(claimed_subjects, config.bids_dir),
    )
    events = EventLog(config.events)

    def say(text: str) -> None:
        print(f"convert: {text}", flush=True)
        events.message(text)

    report = convert(request, say)
    _print_summary(report, config)
    if not report.usable and not report.failures:
        where = f"; {report.page} gives the reason for each" if report.page else ""
        raise InputRefusedError([f"none of the {len(report.outcomes)} series can be converted{where}"])
    left = tuple(level for level in config.levels if level != "convert")
    if left and report.count(PLANNED):
        print(f"{', '.join(left)}: can be planned once these series are converted")
        left = ()
    labels = (config.selection.participants, config.selection.sessions)
    participants, sessions = (tuple(map(sanitise, names)) for names in labels)
    selection = replace(config.selection, participants=participants, sessions=sessions)
    return report.exit_code, replace(config, levels=left, selection=selection)


def _print_summary(report: ConversionReport, config: Config) -> None:
    if config.dry_run:
        print(conversion_page(report))
        return
    for failure in report.failures:
        print(f"convert: FAILED: {failure}")
    print(f"convert: {report.summary} The report is {report.page}")
