"""Where a command works: its folders, its threads, and whether everything is run again."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Context:
    """Where the steps of a command run."""

    bids_dir: Path
    output_dir: Path
    work_dir: Path
    threads: int
    force: bool = False
    #: Where working files lie that other processes read, if the work directory is this process's own.
    shared_dir: Path | None = None
    #: What the command has claimed its jobs by (``engine.claims``); empty: nothing is claimed.
    claim: str = ""
