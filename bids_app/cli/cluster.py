"""What the command line says about clusters."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from bids_app.errors import UsageError
from bids_app.qsm.params import nearest

#: Schedulers that scripts can be written for.
SCHEDULERS = ("slurm", "pbs")


@dataclass(frozen=True)
class Cluster:
    """Where jobs are sent: scripts to write, or an engine that sends them as it goes; neither: this machine."""

    write: tuple[str, Path] | None = None  # scheduler, folder
    engine: str | None = None
    config: Path | None = None
    account: str | None = None
    queue: str | None = None
    options: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # instead of qsm-bids-app
    array_limit: int = 1000
    at_once: int | None = None
    cpus: int | None = None  # processors of a job (--omp-nthreads)
    passed_on: tuple[str, ...] = ()  # options of the command that its jobs need too


def cluster_from(args: argparse.Namespace, passed_on: tuple[str, ...]) -> Cluster:
    """Return the cluster options of a parsed command line.

    Raises
    ------
    UsageError
        For an unknown scheduler, or options that exclude each other.
    """
    write = None
    if args.write_jobs is not None:
        scheduler, folder = args.write_jobs
        if scheduler not in SCHEDULERS:
            raise UsageError(f"--write-jobs: {scheduler!r} is not known: {nearest(scheduler, list(SCHEDULERS))}")
        if args.cluster:
            raise UsageError("--write-jobs writes scripts and --cluster sends runs at once: give one of them")
        write = (scheduler, Path(folder).absolute())
    if args.cluster_config is not None and not args.cluster:
        raise UsageError("--cluster-config needs --cluster")
    return Cluster(
        write=write,
        engine=args.cluster,
        config=args.cluster_config,
        account=args.account,
        queue=args.queue,
        options=tuple(args.job_option or ()),
        modules=tuple(args.module or ()),
        command=tuple(shlex.split(args.container_command or "")),
        array_limit=args.array_limit,
        at_once=args.array_at_once,
        cpus=args.omp_nthreads,
        passed_on=passed_on,
    )
