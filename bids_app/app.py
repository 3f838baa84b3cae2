"""From a Config to an exit code: find, check, run every job, sum up."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from bids_app import __version__
from bids_app.config import Config
from bids_app.console import Console
from bids_app.dataset.checks import preflight
from bids_app.dataset.models import Subject
from bids_app.dataset.query import find_subjects
from bids_app.derivatives.files import remove_scratch, write_bytes, write_json
from bids_app.errors import InputRefusedError
from bids_app.execution.events import JobResult
from bids_app.execution.memory import available_memory
from bids_app.execution.runner import Policy, run_jobs
from bids_app.levels import jobs_of, step_names

_BIDSIGNORE = "*.html\nsub-*/figures\n*_xfm.*\n*_stats.tsv\n*_stats.json\nconversion_report.*\nwork\nwork/**\n"
#: Share of the available memory that jobs may take by their estimates.
_MEMORY_SHARE = 0.9


def run(config: Config) -> int:
    """Do what the command line asked for and return the exit code."""
    if "convert" not in config.levels:
        return run_levels(config)
    from bids_app.intake import convert_first

    code, config = convert_first(config)
    return max(code, run_levels(config)) if config.levels else code


def run_levels(config: Config) -> int:
    """Do the levels after the conversion and return the exit code."""
    subjects = find_subjects(config.bids_dir, config.participants, config.sessions)
    runs = tuple(run for subject in subjects for run in subject.runs)
    problems = preflight(runs, config.bids_dir, config.output_dir)
    if problems:
        raise InputRefusedError(problems)
    if config.dry_run:
        _print_plan(config, subjects)
        return 0
    _write_dataset_files(config)
    remove_scratch(config.work_dir)
    jobs = jobs_of(subjects, config)
    memory = config.mem_gb * 1e9 if config.mem_gb else _MEMORY_SHARE * available_memory()
    policy = Policy(config.nprocs, int(memory), config.stop_on_first_crash, config.verbosity > 1)
    console = Console(jobs, config.verbosity)
    results = run_jobs(jobs, policy, console.on_event)
    crashes = {r.job: _write_crash(config, r) for r in results.values() if r.failures}
    console.close(list(results.values()), crashes)
    print(f"maps are in {config.output_dir}")
    return 1 if crashes else 0


def _print_plan(config: Config, subjects: Sequence[Subject]) -> None:
    for gre in (run for subject in subjects for run in subject.runs):
        steps = step_names(gre, "bids_app.steps:PARTICIPANT", config)
        print(f"{gre.basename}: {len(gre.echoes)} echoes, {gre.field_strength} T: {', '.join(steps)}")
        print(f"  anatomical image: {gre.t1w_choice}")
    print("\neffective parameters:")
    for section, values in config.settings.to_mapping().items():
        for name, value in values.items():
            print(f"  {section}.{name} = {value}")


def _write_dataset_files(config: Config) -> None:
    write_json(
        config.output_dir / "dataset_description.json",
        {
            "Name": "Quantitative susceptibility maps",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "qsm-bids-app", "Version": __version__}],
            "DatasetLinks": {"raw": config.bids_dir.as_uri()},
        },
    )
    write_bytes(config.output_dir / ".bidsignore", _BIDSIGNORE.encode())
    readme = "Quantitative susceptibility maps by qsm-bids-app. Values are in ppm; sidecars name every parameter.\n"
    write_bytes(config.output_dir / "README.md", readme.encode())


def _write_crash(config: Config, result: JobResult) -> str:
    """Write what a developer needs to find the cause, and return where."""
    path = config.output_dir / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{result.job}.txt"
    text = (
        f"qsm-bids-app {__version__}\nrun: {result.job}\n"
        f"to reproduce: {shlex.join(('qsm-bids-app', *config.command))}\n"
        f"parameters: {config.settings.to_mapping()}\n"
    )
    for failure in result.failures:
        text += f"\nstep {failure.step or '(none)'}: {failure.sentence}\n{failure.traceback}"
    if result.output:
        text += f"\nlast output of the process:\n{result.output}\n"
    write_bytes(path, text.encode())
    return str(path)
