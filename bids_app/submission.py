"""From the levels of a command to array scripts (``--write-jobs``)."""

import shlex
import shutil
import sys

from bids_app.config import Config
from bids_app.errors import UsageError
from bids_app.execution.elements import list_elements
from bids_app.execution.jobs import Site, Stage, write_scripts
from bids_app.execution.resources import DEFAULTS, measured, read_records

#: Processors of a job, unless --omp-nthreads says otherwise.
_CPUS = 4


def own_command() -> tuple[str, ...]:
    """Return how this very installation is called."""
    found = shutil.which("qsm-bids-app")
    return (found,) if found else (sys.executable, "-m", "bids_app")


def write_jobs(config: Config) -> int:
    """Write the scripts that the command line asks for, print what to do next, and return the exit code."""
    assert config.cluster.write is not None
    scheduler, folder = config.cluster.write
    if "convert" in config.levels:
        raise UsageError("--write-jobs: convert the scans first on one machine, then write jobs for the other levels")
    cluster = config.cluster
    site = Site(
        scheduler, cluster.account, cluster.queue, cluster.options, cluster.modules,
        cluster.command or own_command(), cluster.array_limit, cluster.at_once,
    )  # fmt: skip
    elements = list_elements(config.bids_dir, config.participants, config.sessions)
    written = write_scripts(folder, site, elements, plan(config, len(elements)))
    print(f"{len(elements)} elements; {len(written)} files in {folder}")
    print(f"send them: bash {folder / 'submit.sh'}")
    return 0


def plan(config: Config, elements: int) -> list[Stage]:
    """Return the chain of stages for the levels that were asked for."""
    records = list(read_records(config.output_dir / "logs" / "records"))
    place = shlex.join([str(config.bids_dir), str(config.output_dir)])
    stages = []
    for level in config.levels:
        resources = measured(records, level, config.cluster.cpus or DEFAULTS[level].cpus)
        # The validator reads the whole dataset: once, by whoever submits, and not in every job.
        always = f"--nprocs 1 --omp-nthreads {resources.cpus} --skip-bids-validation"
        options = f"{always} {_options(config)}".strip()
        if level == "participant":
            chosen = '--participant-label "$subject" ${session:+--session-label "$session"}'
            stages.append(Stage(level, f"{place} {level} {options} {chosen}", resources, elements, reads_list=True))
        else:
            stages.append(Stage(level, f"{place} {level} {options} {_selection(config)}".strip(), resources))
    return stages


def _options(config: Config) -> str:
    """Return the passed-on options as shell words; variables in --scratch are expanded where the job runs."""
    words = []
    previous = ""
    for word in config.cluster.passed_on:
        words.append(f'"{word}"' if previous == "--scratch" else shlex.quote(word))
        previous = word
    return " ".join(words)


def _selection(config: Config) -> str:
    words = ["--participant-label", *config.participants] if config.participants else []
    words += ["--session-label", *config.sessions] if config.sessions else []
    return shlex.join(words)
