"""Which options of a command its jobs need too, spelled again."""

import argparse
from pathlib import Path

from bids_app.cli.options import build_parser

#: Options that concern the submitting side alone; every other one goes on to the jobs.
_NOT_FOR_JOBS = {
    "levels",
    "bids_dir",
    "output_dir",
    "participant_label",
    "session_label",
    "write_jobs",
    "export_dicom",
    "dicom_source",
    "cluster",
    "cluster_config",
    "account",
    "queue",
    "job_option",
    "module",
    "container_command",
    "array_limit",
    "array_at_once",
    "dry_run",
    "events",
    "help",
    "version",
    "show_preset",
    "explain",
    "nprocs",
    "omp_nthreads",
    "mem",
    "skip_bids_validation",
    "stage",
    "stage_part",
    "stage_patience",
}


def options_for_jobs(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the options of a parsed command line, spelled again, that each of its jobs needs too."""
    words: list[str] = []
    for action in build_parser()._actions:
        value = getattr(args, action.dest, None)
        if action.dest in _NOT_FOR_JOBS or not action.option_strings or value in (None, False, action.default):
            continue
        flag = max(action.option_strings, key=len)
        if isinstance(action, argparse._AppendAction):
            words += [word for item in value for word in (flag, str(item))]
        elif isinstance(action, argparse._CountAction):
            words += [flag] * value
        elif action.nargs == 0:
            words.append(flag)
        else:
            items = value if isinstance(value, list) else [value]
            words += [flag, *(str(item.absolute() if isinstance(item, Path) else item) for item in items)]
    return tuple(words)
