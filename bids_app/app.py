"""From a Config to an exit code: find, check, run every run, sum up."""

import shlex
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime

from bids_app import __version__
from bids_app.config import Config
from bids_app.dataset.checks import preflight
from bids_app.dataset.models import GreRun
from bids_app.dataset.query import find_runs
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.errors import InputRefusedError, QsmAppError
from bids_app.execution.chain import Context, run_chain
from bids_app.qsm.threads import set_threads
from bids_app.steps import PARTICIPANT

_BIDSIGNORE = "*.html\nsub-*/figures\n*_xfm.*\n*_stats.tsv\nconversion_report.*\nwork\nwork/**\n"


def run(config: Config) -> int:
    """Do what the command line asked for and return the exit code."""
    if "convert" not in config.levels:
        return run_participants(config)
    from bids_app.intake import convert_first

    code, config = convert_first(config)
    return max(code, run_participants(config)) if config.levels else code


def run_participants(config: Config) -> int:
    """Process every run of the participants and return the exit code."""
    runs = find_runs(config.bids_dir, config.participants, config.sessions)
    problems = preflight(runs, config.bids_dir, config.output_dir)
    if problems:
        raise InputRefusedError(problems)
    if config.dry_run:
        _print_plan(config, runs)
        return 0
    set_threads(config.omp_nthreads)
    context = Context(config.bids_dir, config.output_dir, config.work_dir, config.omp_nthreads, config.force)
    _write_dataset_files(config)
    failed = []
    for number, gre in enumerate(runs, start=1):
        title = f"[{number}/{len(runs)}] {gre.basename}"
        try:
            result = run_chain(PARTICIPANT, gre, config.settings, context, _printer(title, config.verbosity))
        except Exception as error:  # one failing run does not stop the others
            failed.append(gre.basename)
            crash = _write_crash(config, gre, error)
            print(f"{title}: FAILED: {_sentence(error)} (details: {crash})", file=sys.stderr)
            if config.stop_on_first_crash:
                break
            continue
        print(f"{title}: done (ran {', '.join(result.ran) or 'nothing'}; unchanged {len(result.skipped)})")
        for warning in result.warnings:
            print(f"{title}: warning: {warning}", file=sys.stderr)
    print(f"{len(runs) - len(failed)} of {len(runs)} runs done; maps are in {config.output_dir}")
    return 1 if failed else 0


def _printer(title: str, verbosity: int) -> Callable[[str, str], None]:
    def on_event(event: str, step: str) -> None:
        if event == "started" or verbosity > 0:
            print(f"{title}: {step} {event}", flush=True)

    return on_event


def _sentence(error: Exception) -> str:
    if isinstance(error, QsmAppError):
        return str(error)
    if isinstance(error, MemoryError):
        return "memory ran out; use a machine with more"
    return f"{type(error).__name__}: {error}"


def _print_plan(config: Config, runs: tuple[GreRun, ...]) -> None:
    for gre in runs:
        steps = [step.name for step in PARTICIPANT if step.makes(gre, config.settings)]
        print(f"{gre.basename}: {len(gre.echoes)} echoes, {gre.field_strength} T: {', '.join(steps)}")
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


def _write_crash(config: Config, gre: GreRun, error: Exception) -> str:
    path = config.output_dir / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{gre.basename}.txt"
    text = (
        f"qsm-bids-app {__version__}\nrun: {gre.basename}\n"
        f"to reproduce: {shlex.join(('qsm-bids-app', *config.command))}\n"
        f"parameters: {config.settings.to_mapping()}\n\n{''.join(traceback.format_exception(error))}"
    )
    write_bytes(path, text.encode())
    return str(path)
