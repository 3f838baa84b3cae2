"""Array scripts for clusters: ready to submit, chained, and safe to submit again.

Nothing here talks to a scheduler, so that the scripts can be written inside a container or on a laptop.
"""

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.scratch import remove_parts
from bids_app.engine.elements import Element
from bids_app.engine.resources import Resources
from bids_app.errors import UsageError

SCHEDULERS = ("slurm", "pbs")

#: Paths that need no quotes in a scheduler's directives.
_PLAIN = re.compile(r"[\w./+@:,=-]+")
#: Characters of a job's name that PBS shows.
_PBS_NAME = 15


#: What a job says on a node that has no such folder; paths on the command line are absolute anyway.
_NOT_HERE = "the folder of the command is not on this node: relative paths in files of settings are not found"


@dataclass(frozen=True)
class Site:
    """What a site wants in its job scripts."""

    scheduler: str
    account: str | None = None
    queue: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    command: tuple[str, ...] = ("qsm-bids-app",)
    array_limit: int = 1000
    at_once: int | None = None


@dataclass(frozen=True)
class ArrayStage:
    """One link of the chain: an array (``elements`` > 0) or a single job, after all that came before it."""

    name: str
    arguments: str  # shell words that follow the command; may use $index, $subject and $session
    resources: Resources
    elements: int = 0
    reads_list: bool = False  # $subject and $session come from the list of participants


def write_scripts(folder: Path, site: Site, elements: Sequence[Element], stages: Sequence[ArrayStage]) -> list[Path]:
    """Write the list of participants, one script for every chunk of every stage, and ``submit.sh``; return them.

    Raises
    ------
    UsageError
        If a label or the folder holds characters that a script cannot take safely.
    """
    if re.search(r"[%\n\r]", str(folder)):  # schedulers replace words with %
        raise UsageError(f"--write-jobs: {str(folder)!r}: choose a folder without % and line breaks in its path")
    odd = [label for element in elements for label in element if label and re.search(r"\s", label)]
    if odd:
        raise UsageError(f"--write-jobs: the label {odd[0]!r} has a space; rename the folder of this participant")
    for word in (site.account, site.queue, *site.options):
        if word and re.search(r"[\n\r]", word):
            raise UsageError(f"--write-jobs: {word!r} has more than one line")
    remove_parts(folder)
    lines = "".join(f"{subject}\t{session or ''}\n" for subject, session in elements)
    listing = folder / "participants.tsv"
    write_bytes(listing, os.fsencode(lines))
    written = [listing]
    submission: list[tuple[str, list[Path]]] = []
    for stage in stages:
        chunks = []
        for number, (offset, count) in enumerate(_chunks(stage.elements, site.array_limit), start=1):
            name = stage.name if stage.elements <= site.array_limit else f"{stage.name}-{number}"
            path = folder / f"{name}.sh"
            write_bytes(path, os.fsencode(_script(folder, site, stage, name, offset, count)))
            chunks.append(path)
        submission.append((stage.name, chunks))
        written += chunks
    submit = folder / "submit.sh"
    write_bytes(submit, os.fsencode(_submit(folder, site, submission)))
    for path in [*written[1:], submit]:
        with suppress(PermissionError):  # a disk that lets nobody change rights; bash and the scheduler only read them
            path.chmod(0o755)
    (folder / "logs").mkdir(exist_ok=True)
    return [*written, submit]


def _chunks(count: int, limit: int) -> list[tuple[int, int]]:
    """Return offset and size of arrays that stay below the site's limit; one job without an array for none."""
    if count == 0:
        return [(0, 0)]
    return [(start, min(limit, count - start)) for start in range(0, count, limit)]


def _logs(folder: Path) -> str:
    """Return the folder of the logs as directives name it.

    Schedulers differ in how they read quotes there. Where the path would need them, it is relative to the folder of
    submission, which ``submit.sh`` changes to.
    """
    return f"{folder}/logs" if _PLAIN.fullmatch(str(folder)) else "logs"


def _header(site: Site, folder: Path, name: str, count: int, resources: Resources) -> list[str]:
    r, throttle, logs = resources, f"%{site.at_once}" if site.at_once else "", _logs(folder)
    if site.scheduler == "slurm":
        lines = [
            f"--job-name=qsm-{name}",
            f"--cpus-per-task={r.cpus}",
            f"--mem={r.memory_gb}G",
            f"--time={r.walltime}",
            f"--output={logs}/{name}-%A_%a.out" if count else f"--output={logs}/{name}-%j.out",
        ]
        lines += [f"--array=1-{count}{throttle}"] if count else []
        lines += [f"--account={site.account}"] if site.account else []
        lines += [f"--partition={site.queue}"] if site.queue else []
        prefix = "#SBATCH"
    else:
        lines = [
            f"-N {_short(f'qsm-{name}')}",
            f"-l select=1:ncpus={r.cpus}:mem={r.memory_gb}gb",
            f"-l walltime={r.walltime}",
            "-j oe",
            f"-o {logs}/",
        ]
        # PBS has no array of one element: the script then runs as a plain job.
        lines += [f"-J 1-{count}{throttle}"] if count > 1 else []
        lines += [f"-A {site.account}"] if site.account else []
        lines += [f"-q {site.queue}"] if site.queue else []
        prefix = "#PBS"
    return [f"{prefix} {line}" for line in (*lines, *site.options)]


def _short(name: str) -> str:
    """Return a name of at most 15 characters, as PBS shows it: its beginning, and its end, which differs."""
    return name if len(name) <= _PBS_NAME else f"{name[:5]}{name[5 - _PBS_NAME :]}"


def _script(folder: Path, site: Site, stage: ArrayStage, name: str, offset: int, count: int) -> str:
    here = shlex.quote(str(Path.cwd()))
    variable = "SLURM_ARRAY_TASK_ID" if site.scheduler == "slurm" else "PBS_ARRAY_INDEX"
    lines = [
        "#!/bin/bash",
        *_header(site, folder, name, count, stage.resources),
        f"# Resources: {stage.resources.origin}.",
        "# Safe to submit again: what is complete is found so by its records and left alone.",
        "set -u",
        f"cd {here} || echo {shlex.quote(_NOT_HERE)} >&2",  # PBS starts jobs in the home folder
    ]
    if site.modules:
        lines += [f"module load {shlex.join(site.modules)}"]
    if count:
        lines.append(f"index=$(({offset} + ${{{variable}:-1}}))")
    if stage.reads_list:
        lines += [
            f'line=$(sed -n "${{index}}p" {shlex.quote(str(folder / "participants.tsv"))})',
            "subject=${line%%$'\\t'*}",
            "session=${line#*$'\\t'}",
        ]
    lines.append(f"exec {shlex.join(site.command)} {stage.arguments}")
    return "\n".join(lines) + "\n"


def _submit(folder: Path, site: Site, submission: Sequence[tuple[str, Sequence[Path]]]) -> str:
    """Return the script that sends all stages, each after all chunks of the one before have ended, well or not.

    ``afterany`` and not ``afterok``: one participant that failed must not hold back the study, and PBS reports success
    for an array with failed elements. The group level itself checks who is complete.
    """
    slurm = site.scheduler == "slurm"
    lines = ["#!/bin/bash", "# Sends all jobs, chained; run it on a login node.", "set -euo pipefail"]
    lines += [f"cd {shlex.quote(str(folder))}", "after=()"]
    for name, chunks in submission:
        lines.append("ids=()")
        for path in chunks:
            script, after = shlex.quote(str(path)), '${after[@]+"${after[@]}"}'
            send = f"sbatch --parsable {after} {script} | cut -d';' -f1" if slurm else f"qsub {after} {script}"
            lines.append(f'ids+=("$({send})")')
        lines.append(f'echo "{name}: ${{ids[*]}}"')
        joined = '$(IFS=:; echo "${ids[*]}")'
        lines.append(f'after=(--dependency="afterany:{joined}")' if slurm else f'after=(-W depend="afterany:{joined}")')
    watch = "squeue --me" if slurm else 'qstat -t -u "$USER"'
    lines += [
        f"echo 'watch:   {watch}'",
        f"echo {shlex.quote(f'output:  {folder}/logs')}",
        "echo 'again:   bash '\"$0\"",
    ]
    return "\n".join(lines) + "\n"
