"""What the live engine asks of each scheduler: dask-jobqueue's class and its keywords.

The keywords are those of the scheduler's own grammar: LSF takes wall times without seconds, Grid Engine shares memory
out by processor and needs a parallel environment, HTCondor wants space on the disk and has no wall time.
"""

import inspect
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_app.engine.certificates import own_address
from bids_app.errors import ToolMissingError, UsageError
from bids_app.model.toml_files import parse_toml, read_text
from bids_app.qsm.params import nearest

DEFAULT_MINUTES = 240
#: A worker ends itself this long before the scheduler would, so that its job moves on in good order.
_LEAVE_EARLY_MINUTES = 3
_ANSWER_S = 60
#: Taken out of the configuration file: they are the engine's own.
OWN_KEYS = ("minimum_jobs", "maximum_jobs", "minutes")
#: Further words of a worker's command line, whatever the file says: its page of numbers is for its own node, and a
#: closed worker gives its processors back.
WORKER_WORDS = ("--dashboard-address", "127.0.0.1:0", "--preload", "bids_app.engine.worker_watchdog")
#: Keywords of dask-jobqueue that the engine sets itself or that cannot be said in a file.
_NOT_FOR_FILES = {
    "self",
    "scheduler",
    "name",
    "security",
    "protocol",
    "scheduler_cls",
    "asynchronous",
    "n_workers",
    "job_cls",
}


@dataclass(frozen=True)
class Worker:
    """What a worker of the live engine needs."""

    cores: int
    memory_gb: int
    minutes: int = DEFAULT_MINUTES
    account: str | None = None
    queue: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # container command of the jobs
    log_dir: Path | None = None

    def walltime(self, seconds: bool = True) -> str:
        """Wall time as ``HH:MM:SS`` or ``HH:MM``."""
        return f"{self.minutes // 60:02d}:{self.minutes % 60:02d}" + (":00" if seconds else "")


def _named(account: str) -> Callable[[Worker], dict[str, Any]]:
    def keywords(worker: Worker) -> dict[str, Any]:
        given = {account: worker.account, "queue": worker.queue, "walltime": worker.walltime()}
        return {key: value for key, value in given.items() if value is not None}

    return keywords


def _sge(worker: Worker) -> dict[str, Any]:
    # Grid Engine counts memory for each slot; a parallel environment gives more than one.
    each = math.ceil(worker.memory_gb / worker.cores)
    slots = [f"-pe smp {worker.cores}"] if worker.cores > 1 else []
    return _named("project")(worker) | {
        "resource_spec": f"mem_free={each}G",
        "job_extra_directives": [*slots, *worker.options],
    }


def _lsf(worker: Worker) -> dict[str, Any]:
    return _named("project")(worker) | {"walltime": worker.walltime(seconds=False)}


def _htcondor(worker: Worker) -> dict[str, Any]:
    if worker.queue:
        raise UsageError("--cluster htcondor: HTCondor has no queues; say what the jobs need by --job-option=KEY=VALUE")
    lines: dict[str, str] = {"accounting_group": worker.account} if worker.account else {}
    for option in worker.options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--job-option {option}: HTCondor wants KEY=VALUE")
        lines[key.strip()] = value.strip()
    return {"disk": "1GB", "job_extra_directives": lines}


#: dask-jobqueue's class of each scheduler, the program that sends jobs, and its keywords besides the common ones.
_ENGINES: Mapping[str, tuple[str, str, Callable[[Worker], dict[str, Any]]]] = {
    "slurm": ("SLURMCluster", "sbatch", _named("account")),
    "pbs": ("PBSCluster", "qsub", _named("account")),
    "sge": ("SGECluster", "qsub", _sge),
    "lsf": ("LSFCluster", "bsub", _lsf),
    "htcondor": ("HTCondorCluster", "condor_submit", _htcondor),
}


#: How each scheduler is asked about a job, and the words (in lower case) by which it says that there is none any more.
_QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "slurm": ("squeue", "-h", "-o", "%T", "-j"),
    "pbs": ("qstat",),
    "sge": ("qstat", "-j"),
    "lsf": ("bjobs", "-noheader", "-o", "stat"),
    "htcondor": ("condor_q", "-af", "JobStatus"),
}
_GONE = ("invalid job id", "has finished", "unknown job", "do not exist", "is not found")


def is_queued(name: str, job_id: str) -> bool:
    """Return whether a job waits or runs, as far as the scheduler knows; a question that fails counts as yes."""
    try:
        answer = subprocess.run(
            [*_QUESTIONS[name], job_id], capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    if answer.returncode == 0:
        return answer.stdout.strip() not in ("", "DONE", "EXIT")
    return not any(words in answer.stderr.lower() for words in _GONE)


def find(name: str) -> Any:
    """Return dask-jobqueue's class for a scheduler.

    Raises
    ------
    ToolMissingError
        If Dask or the scheduler's commands are not installed.
    """
    class_name, program, _ = _ENGINES[name]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        import dask_jobqueue  # takes SIGINT for itself: Ctrl-C would end the command without a word
    except ImportError as error:
        raise ToolMissingError(
            "--cluster needs Dask: pip install 'qsm-bids-app[cluster]', or write array scripts with --write-jobs"
        ) from error
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    if shutil.which(program) is None:
        raise ToolMissingError(
            f"--cluster {name}: {program} is not on this machine; start the command where jobs are submitted, "
            "or write array scripts with --write-jobs and send them from there"
        )
    return getattr(dask_jobqueue, class_name)


def keywords_of(name: str, worker: Worker) -> dict[str, Any]:
    """Return the keywords for dask-jobqueue's class."""
    common: dict[str, Any] = {
        "cores": worker.cores,
        "memory": f"{worker.memory_gb}GB",
        "processes": 1,
        "nanny": False,  # a worker starts processes of its own, which a nanny's child may not
        "job_name": "qsm-worker",
        "job_extra_directives": list(worker.options),
        "job_script_prologue": [f"module load {shlex.quote(module)}" for module in worker.modules],
        # One job at a time, with all processors.
        "worker_extra_args": ["--nthreads", "1", "--lifetime", f"{max(1, worker.minutes - _LEAVE_EARLY_MINUTES)}m"],
        "death_timeout": 120,
        "python": python_of(worker.command),
        "scheduler_options": {"host": own_address(), "dashboard_address": "127.0.0.1:0"},
    }
    # The path stands in a line of the scheduler's own grammar, which knows no quotes: such logs stay where jobs begin.
    if worker.log_dir is not None and not re.search(r"\s", str(worker.log_dir)):
        common["log_directory"] = str(worker.log_dir)
    return common | _ENGINES[name][2](worker)


def python_of(command: Sequence[str]) -> str:
    """Return how a worker's Python is started: this one, or the container's where jobs run in one.

    Raises
    ------
    UsageError
        If no way into the container is known.
    """
    if not command:
        return shlex.quote(sys.executable)
    words = list(command)
    runner = os.path.basename(words[0])  # noqa: PTH119 - a command's first word
    if "run" in words[1:]:
        at = words.index("run", 1)
        if runner in ("apptainer", "singularity"):
            return shlex.join([*words[:at], "exec", *words[at + 1 :], "python"])
        if runner in ("docker", "podman"):
            return shlex.join([*words[: at + 1], "--entrypoint", "python", *words[at + 1 :]])
    raise UsageError(
        f"--container-command {' '.join(words)}: with --cluster give 'apptainer run IMAGE' or 'podman run IMAGE', or "
        "let 'python' in --cluster-config name the Python of the workers"
    )


def read(path: Path | None, kind: Any) -> dict[str, Any]:
    """Return what a configuration file says, its names checked.

    Raises
    ------
    UsageError
        If it cannot be read, or has a keyword that neither the engine nor dask-jobqueue's class knows.
    """
    if path is None:
        return {}
    origin = f"--cluster-config: {path}"
    values = parse_toml(read_text(path, origin), origin)
    known = set(OWN_KEYS)
    for cls in (*kind.__mro__, *kind.job_cls.__mro__):
        if cls.__module__.startswith("dask_jobqueue"):
            known |= set(inspect.signature(cls.__init__).parameters) - _NOT_FOR_FILES
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"--cluster-config: {path}: unknown keyword {key!r}: {nearest(key, sorted(known))}")
        if key in OWN_KEYS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UsageError(f"--cluster-config: {path}: {key} must be a whole number of 1 or more, not {value!r}")
    return values
