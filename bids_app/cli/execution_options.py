"""The options that say how a command is run: processes, memory, clusters. Imports nothing heavy, for ``--help``."""

import argparse

from bids_app.cli.types import command_line, gigabytes, place, positive, words

#: Names of devices (those of ``qsm.device``, which a test compares).
DEVICES = ("auto", "cpu", "cuda")
#: Schedulers that dask-jobqueue knows.
ENGINES = ("slurm", "pbs", "sge", "lsf", "htcondor")


def add_execution(group: "argparse._ArgumentGroup") -> None:
    """Add the options of this machine."""
    add = group.add_argument
    add("-w", "--work-dir", type=place, metavar="DIR", help="where working files are kept (default: OUTPUT_DIR/work)")
    add("--nprocs", type=positive, metavar="N", help="processes at once (default: processors / threads of each)")
    add("--omp-nthreads", type=positive, metavar="N", help="threads of each process (default: 4, or fewer processors)")
    add(
        "--mem",
        type=gigabytes,
        metavar="SIZE",
        help="memory that all processes together may take by estimate, in GB or with a unit: 8, 8GB, 8000MB (default: "
        "what is free); a run that needs more is refused before anything starts",
    )
    add(
        "--device",
        choices=DEVICES,
        metavar="NAME",
        help="where background removal and inversion run: cpu (default), cuda (a GPU, through PyTorch), or auto (a GPU "
        "where there is one); the same as --set inversion.device and background.device",
    )
    add("--reports-only", action="store_true", help="write the reports again from what is there, and process nothing")
    add("--dry-run", action="store_true", help="print the plan and the effective parameters, and change nothing")
    add("--events", type=place, metavar="FILE", help="append events as lines of JSON to FILE, for programs that watch")
    add("--stop-on-first-crash", action="store_true", help="stop everything when one run fails")
    add("--force", action="store_true", help="run every step again, whatever the records say")


def add_cluster(group: "argparse._ArgumentGroup") -> None:
    """Add the options of clusters."""
    add = group.add_argument
    add(
        "--write-jobs",
        type=words,
        nargs=2,
        metavar=("SCHEDULER", "DIR"),
        help="write array scripts for slurm or pbs into DIR and stop; DIR/submit.sh sends them",
    )
    add(
        "--cluster",
        choices=ENGINES,
        metavar="NAME",
        help=f"send every run to a cluster as it goes, through Dask: {', '.join(ENGINES)}; sge, lsf and htcondor are "
        "untested: they were never run on a real scheduler",
    )
    add("--cluster-config", type=place, metavar="FILE", help="TOML file of keywords for dask-jobqueue's cluster class")
    add("--account", type=words, metavar="NAME", help="account that jobs are charged to")
    add("--queue", "--partition", type=words, metavar="NAME", help="queue (PBS) or partition (Slurm) of the jobs")
    add(
        "--job-option",
        type=words,
        action="append",
        metavar="TEXT",
        help="line for the scheduler: --job-option=--qos=long",
    )
    add("--module", type=words, action="append", metavar="NAME", help="environment module that jobs load")
    add("--container-command", type=command_line, metavar="TEXT", help="jobs' command, e.g. 'apptainer run qsm.sif'")
    add("--array-limit", type=positive, default=1000, metavar="N", help="largest array of the site (default: 1000)")
    add("--array-at-once", type=positive, metavar="N", help="jobs at once (default: the scheduler's limit)")
    add(
        "--scratch",
        type=words,
        metavar="DIR",
        help="fast disk of the node for working files, e.g. '$TMPDIR' (expanded where the job runs); emptied after",
    )
