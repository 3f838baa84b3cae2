"""From a Config to an exit code: find, check, run every job, sum up."""

import hashlib
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from bids_app import __version__
from bids_app.cli import segmentations as regions_choice
from bids_app.cli.cohort import cohort_of
from bids_app.cli.config import Config
from bids_app.cli.console import Console
from bids_app.cli.levels import group_jobs, jobs_of, of_stage, step_names, subjects_of
from bids_app.dataset.checks import preflight
from bids_app.dataset.derived import with_given_mask
from bids_app.dataset.image_checks import remarks
from bids_app.dataset.validation import InputValidation
from bids_app.derivatives.files import (
    open_log,
    remove_parts,
    remove_scratch,
    to_json_bytes,
    write_bytes,
    write_if_changed,
)
from bids_app.engine.events import EventHandler, JobResult
from bids_app.engine.memory import available_memory
from bids_app.engine.remaining import earlier_durations
from bids_app.engine.resources import read_records
from bids_app.engine.runner import Policy, run_jobs
from bids_app.engine.worker import Job
from bids_app.errors import InputRefusedError
from bids_app.model.records import GreRun, Subject
from bids_app.model.settings import to_toml

_BIDSIGNORE = (
    "*.html\nsub-*/figures\n*_xfm.*\n*_stats.*\n*_statmap.*\n*_qc.json\ngroup_*\nconversion_report.*\nwork\nwork/**\n"
)
#: Share of the available memory that jobs may take by their estimates.
_MEMORY_SHARE = 0.9
#: The validator gets this much longer than the processing.
_VALIDATOR_PATIENCE_S = 30.0


def run(config: Config) -> int:
    """Do what the command line asked for and return the exit code."""
    if config.cluster.write is not None:
        from bids_app.cli.submission import write_jobs

        return write_jobs(config)
    if "convert" not in config.levels:
        return run_levels(config)
    from bids_app.cli.conversion import convert_first

    code, config = convert_first(config)
    return max(code, run_levels(config)) if config.levels else code


def run_levels(config: Config) -> int:
    """Do the levels after the conversion, one after the other, and return the exit code."""
    code = _participant_level(config) if "participant" in config.levels else 0
    if "group" not in config.levels or (code and config.stop_on_first_crash):
        return code
    if config.dry_run and "participant" in config.levels:
        print("\ngroup: what the participant level has made by then")
        return code
    try:
        return max(code, _group_level(config))
    except InputRefusedError as error:
        if not code:
            raise
        print(f"qsm-bids-app: {error}", file=sys.stderr)  # what failed before has its exit code already
        return code


def _group_level(config: Config) -> int:
    # Reports tell of who is missing: that must not keep them from being written again.
    cohort = cohort_of(replace(config, allow_missing=True) if config.reports_only else config)
    jobs = of_stage(group_jobs(cohort, config), config.stage, config.stage_part)
    if config.dry_run:
        for standing in cohort.entries:
            print(f"{standing.run}: {standing.status}{': ' if standing.reason else ''}{standing.reason}")
        for job in jobs:
            names = step_names(job.record, job.steps, config) if job.steps else [job.function]
            print(f"{job.name} (stage {job.stage}): {', '.join(names)}")
        return 0
    return _process(config, jobs, [f"{s.run}: {s.status}: {s.reason}" for s in cohort.entries], None, "")


def _participant_level(config: Config) -> int:
    found = subjects_of(config)
    problems = preflight(found, config.bids_dir, config.output_dir, config.participants)
    if problems:
        raise InputRefusedError(problems)
    config, warning = regions_choice.decided(config)
    subjects = [replace(s, runs=tuple(_completed(gre, config) for gre in s.runs)) for s in found]
    if config.dry_run:
        _print_plan(config, subjects)
        if warning:
            print(f"\nwarning: {warning}")
        return 0
    validation = InputValidation(config.bids_dir) if config.validate_input else None
    try:
        lines = [f"{run.basename}: anatomical image: {run.t1w_choice}" for s in subjects for run in s.runs]
        return _process(config, jobs_of(subjects, config), lines, validation, warning)
    finally:
        if validation is not None:
            validation.stop()


def _completed(gre: GreRun, config: Config) -> GreRun:
    """Return a run with what other datasets have for it and what the user should know."""
    gre = with_given_mask(gre, config.derivatives)
    return replace(gre, remarks=(*gre.remarks, *remarks(gre), *regions_choice.remarks(gre, config)))


def _process(
    config: Config, jobs: Sequence[Job], facts: Sequence[str], validation: InputValidation | None, warning: str
) -> int:
    """Run the jobs of a level; ``facts`` are lines for the log."""
    _clear(config)
    _write_dataset_files(config)
    memory = config.mem_gb * 1e9 if config.mem_gb else _MEMORY_SHARE * available_memory()
    policy = Policy(config.nprocs, int(memory), config.stop_on_first_crash, config.verbosity > 1)
    # Elements of an array start in the same second, on several nodes: each has a log of its own.
    started = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{socket.gethostname()}-{os.getpid()}"
    with open_log(config.output_dir / "logs" / f"qsm-bids-app-{started}.log") as log:
        log.write(f"qsm-bids-app {__version__}: {shlex.join(config.command)}\n")
        log.writelines(f"{line}\n" for line in facts)
        records = config.output_dir / "logs" / "records"
        console = Console(jobs, config.verbosity, log, lambda: earlier_durations(read_records(records)))
        try:
            results = _engine(config)(jobs, policy, console.on_event)
        finally:
            console.stop()
            if config.scratch:
                shutil.rmtree(config.work_dir, ignore_errors=True)
        for result, job in zip(results.values(), jobs, strict=True):
            result.warnings[:0] = getattr(job.record, "remarks", ())
        if any(job.function for job in jobs):
            from bids_app.report.methods.citation import cite

            cite(config.output_dir / "logs")
        crashes = {job.name: _write_crash(config, job, results[job.name]) for job in jobs if results[job.name].failures}
        # Where there was nothing to do the user does not wait for the validator.
        busy = any(result.ran or result.failures for result in results.values())
        notes = validation.findings(_VALIDATOR_PATIENCE_S) if validation is not None and busy else []
        console.close(list(results.values()), crashes, [*filter(None, [warning]), *notes])
        console.say(f"results are in {config.output_dir}")
    return 1 if crashes else 0


def _engine(config: Config) -> Callable[[Sequence[Job], Policy, EventHandler], dict[str, JobResult]]:
    """Return what runs jobs: processes of this machine, or a cluster."""
    cluster = config.cluster
    if cluster.engine is None:
        return run_jobs
    from bids_app.engine.dask import ClusterEngine

    return ClusterEngine(
        cluster.engine,
        config_file=cluster.config,
        account=cluster.account,
        queue=cluster.queue,
        options=cluster.options,
        modules=cluster.modules,
        command=cluster.command,
        threads=config.omp_nthreads,
        at_once=cluster.at_once,
        log_dir=config.output_dir / "logs" / "cluster",
        say=print,
    )


def _print_plan(config: Config, subjects: Sequence[Subject]) -> None:
    for gre in (run for subject in subjects for run in subject.runs):
        steps = step_names(gre, "bids_app.steps:PARTICIPANT", config)
        print(f"{gre.basename}: {len(gre.echoes)} echoes, {gre.field_strength} T: {', '.join(steps)}")
        print(f"  anatomical image: {gre.t1w_choice}")
        for remark in gre.remarks:
            print(f"  {remark}")
    for job in (job for job in jobs_of(subjects, config) if not isinstance(job.record, GreRun)):
        steps = step_names(job.record, job.steps, config) if job.steps else [job.function]
        print(f"{job.name}: {', '.join(steps)}")
    print("\neffective parameters:")
    for section, values in config.settings.to_mapping().items():
        for name, value in values.items():
            print(f"  {section}.{name} = {value}")


def _clear(config: Config) -> None:
    """Remove what killed runs have left, but for the folders of the jobs: each job clears its own."""
    remove_scratch(config.work_dir)
    for folder in (config.output_dir, config.output_dir / "logs", config.output_dir / "logs" / "reports"):
        remove_parts(folder)


def _write_dataset_files(config: Config) -> None:
    description = to_json_bytes(
        {
            "Name": "Quantitative susceptibility maps",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "qsm-bids-app", "Version": __version__}],
            "DatasetLinks": {"raw": config.bids_dir.as_uri()},
        }
    )
    write_if_changed(config.output_dir / "dataset_description.json", description)
    write_if_changed(config.output_dir / ".bidsignore", _BIDSIGNORE.encode())
    settings = to_toml(config.settings, [f"qsm-bids-app {__version__}: effective parameters, for --config"])
    digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()  # the same parameters, the same file
    write_if_changed(config.output_dir / "logs" / f"config-{digest}.toml", settings.encode())
    readme = "Quantitative susceptibility maps by qsm-bids-app. Values are in ppm; sidecars name every parameter.\n"
    write_if_changed(config.output_dir / "README.md", readme.encode())


def command_of(config: Config, subject: str, session: str | None) -> str:
    """Return the command for one session of one participant alone, with the options of this one."""
    words = list(config.command)
    for option, label in (("--participant-label", subject), ("--session-label", session)):
        if label:
            words = [word for word in words if not word.startswith(f"{option}=")]
            while option in words:  # it takes all words up to the next option
                start = words.index(option)
                end = next((k for k in range(start + 1, len(words)) if words[k].startswith("-")), len(words))
                del words[start:end]
            words += [option, label]
    return shlex.join(("qsm-bids-app", *words))


def _write_crash(config: Config, job: Job, result: JobResult) -> str:
    """Write what a developer needs to find the cause, and return where."""
    path = config.output_dir / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{result.job}.txt"
    text = (
        f"qsm-bids-app {__version__}\nrun: {result.job}\n"
        f"to reproduce: {command_of(config, job.subject, getattr(job.record, 'session', None))}\n"
        f"parameters: {config.settings.to_mapping()}\n"
    )
    for failure in result.failures:
        text += f"\nstep {failure.step or '(none)'}: {failure.sentence}\n{failure.traceback}"
    if result.output:
        text += f"\nlast output of the process:\n{result.output}\n"
    write_bytes(path, text.encode())
    return str(path)
