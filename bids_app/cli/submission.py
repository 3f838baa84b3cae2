"""From the levels of a command to array scripts (``--write-jobs``)."""

import shlex
import shutil
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace

from bids_app.cli.config import Config
from bids_app.cli.levels import group_plan, jobs_of, participant_steps, subjects_of
from bids_app.dataset.cohort import planned
from bids_app.engine.arrays import Site, Stage, write_scripts
from bids_app.engine.elements import Element, list_elements
from bids_app.engine.resources import DEFAULTS, measured, read_records
from bids_app.engine.worker import load
from bids_app.errors import UsageError

#: NFS clients keep what they know of a folder for a minute at most: so long may a file of another node stay unseen.
_PATIENCE_S = 60


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
        scheduler,
        cluster.account,
        cluster.queue,
        cluster.options,
        cluster.modules,
        cluster.command or own_command(),
        cluster.array_limit,
        cluster.at_once,
    )
    elements = list_elements(config.bids_dir, config.participants, config.sessions)
    written = write_scripts(folder, site, elements, plan(config, elements))
    print(f"{len(elements)} elements; {len(written)} files in {folder}")
    print(f"send them: bash {folder / 'submit.sh'}")
    return 0


def plan(config: Config, elements: Sequence[Element]) -> list[Stage]:
    """Return the chain of stages for the levels that were asked for: every round of the template is one."""
    records = list(read_records(config.output_dir / "logs" / "records"))
    place = shlex.join([str(config.bids_dir), str(config.output_dir)])
    chain = []

    def add(level: str, name: str, steps: Collection[str], kind: str, estimate: int, count: int, words: str) -> None:
        default = replace(DEFAULTS[kind], cpus=config.cluster.cpus or DEFAULTS[kind].cpus)
        resources = measured(records, steps, default, estimate)
        # The validator reads the whole dataset: once, by whoever submits, and not in every job.
        always = f"--nprocs 1 --omp-nthreads {resources.cpus} --skip-bids-validation"
        arguments = " ".join(filter(None, [place, level, always, _options(config), words]))
        chain.append(Stage(name, arguments, resources, count, reads_list=kind == "participant"))

    if "participant" in config.levels:
        chosen = '--participant-label "$subject" ${session:+--session-label "$session"}'
        estimate = _participant_estimate(config, elements)
        add("participant", "participant", participant_steps(), "participant", estimate, len(elements), chosen)
    if "group" in config.levels:
        cohort = planned(config.bids_dir, config.participants, config.sessions)
        for name, steps, count, estimate in group_plan(cohort, config):
            part = f'--stage-part "$index"/{count}' if count > 1 else ""
            patience = f"--stage-patience {_PATIENCE_S}"
            words = " ".join(filter(None, [f"--stage {name}", part, patience, _selection(config)]))
            kind = "group" if name == "tables" else "stage"
            known = {step.name for step in load(steps)}
            add("group", f"group-{name}", known, kind, estimate, count if count > 1 else 0, words)
    return chain


def _participant_estimate(config: Config, elements: Sequence[Element]) -> int:
    """Return the largest memory (bytes) that the steps expect of the first participant; 0 where nothing is known."""
    try:
        subjects = subjects_of(replace(config, participants=(elements[0][0],), sessions=()))
        return max((job.memory for job in jobs_of(subjects, config)), default=0)
    except Exception:  # whatever is wrong with this participant is told by its own element
        return 0


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
