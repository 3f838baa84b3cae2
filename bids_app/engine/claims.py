"""One writer for each run and output: what a command claims for all its jobs, and what each job holds while it works.

A command claims its jobs from its start to its end, and a second command that would write the same is refused. The
process of a job holds a lock of its own besides: one that outlives its command, a worker of a cluster maybe, is waited
for. What lies in a folder of working files that several outputs share is locked there too.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bids_app.engine.locks import Lock, holder_of, pulse, read_lock, remove_stale, this_process
from bids_app.errors import OutputInUseError
from bids_app.model.context import Context

_COMMAND, _PROCESS, _CONVERSION = ".command", ".process", ".conversion"
_LOOK_S = 0.2
#: A node of a cluster may see for so long that a file is not there which another one has made.
_PATIENCE_S = 60.0
#: The pulse of the process that started this one, for the locks of a job.
_pulse_of_parent = ""


def lock_folders(context: Context) -> tuple[Path, ...]:
    """Return where the locks of what a command writes lie."""
    output, work = context.output_dir / "logs" / "locks", context.shared_dir or context.work_dir
    return (output,) if work.is_relative_to(context.output_dir) else (output, work / "locks")


def remove_stale_locks(context: Context) -> None:
    """Remove the locks of this machine's processes that have ended without giving them back."""
    for folder in lock_folders(context):
        remove_stale(folder)


@contextmanager
def claimed(context: Context, names: Mapping[str, bool], settings: str) -> Iterator[Context]:
    """Claim jobs for this command, and give the context in which they run.

    Parameters
    ----------
    context : Context
        Where the command works.
    names : mapping
        The names of the jobs, and whether others may have the same job: elements of an array share a participant's
        anatomical image and page. Such a claim may be another's if that makes the same.
    settings : str
        Digest of all that the command's results depend on besides the data.

    Raises
    ------
    OutputInUseError
        If another command works on one of them.
    """
    advice = "choose another output folder (and --work-dir, where you give one)"
    with _held(lock_folders(context), _COMMAND, names, settings, advice) as name_of_pulse:
        yield replace(context, claim=name_of_pulse)


@contextmanager
def claimed_subjects(bids_dir: Path, subjects: Collection[str]) -> Iterator[None]:
    """Claim the conversion of subjects into a dataset for this command; others may convert other subjects.

    Raises
    ------
    OutputInUseError
        If another command converts one of them.
    """
    names = {f"sub-{subject}": False for subject in subjects}
    folder = bids_dir / "sourcedata" / "conversion" / "locks"
    new = [path for path in folder.parents if not path.exists()]
    try:
        with _held((folder,), _CONVERSION, names, "", "convert into another dataset"):
            yield
    finally:
        for path in new:
            with suppress(OSError):  # something was converted
                path.rmdir()


@contextmanager
def _held(folders: Sequence[Path], suffix: str, names: Mapping[str, bool], settings: str, advice: str) -> Iterator[str]:
    """Hold a lock for each name in each folder, and give the name of the pulse."""
    for folder in folders:
        remove_stale(folder)
    with ExitStack() as stack:
        name_of_pulse = stack.enter_context(pulse(folders))
        holder = this_process(settings, name_of_pulse)
        for name, is_shared in sorted(names.items()):
            for folder in folders:
                lock = Lock(folder / f"{name}{suffix}", holder)
                other = lock.acquire()
                if other is None:
                    stack.callback(lock.release)
                elif not (is_shared and other.settings == settings):
                    raise OutputInUseError(
                        f"another command is writing {name}: {other} ({other.command}), as {lock.path} says. Wait "
                        f"until it has ended and run this command again, or {advice}"
                    )
        yield name_of_pulse


@contextmanager
def working(context: Context, name: str, is_shared: bool = False) -> Iterator[Callable[[], None]]:
    """Hold a job's lock while it is done; a process that holds it is waited for.

    The function that is given raises OutputInUseError where the job is not this process's any more: it is called before
    anything is written.
    """
    holder = this_process(pulse=_pulse_of_parent)
    with ExitStack() as stack:
        locks = [Lock(folder / f"{name}{_PROCESS}", holder) for folder in lock_folders(context)]
        for lock in locks:
            while lock.acquire() is not None:
                time.sleep(_LOOK_S)
            stack.callback(lock.release)

        def check() -> None:
            if not all(lock.is_held() for lock in locks) or not (is_shared or _is_claimed(context, name)):
                raise OutputInUseError(
                    f"another command has taken over {name}, because this one showed no sign of life for a while; "
                    "nothing was written over its files. Run the same command again when it has ended"
                )

        check()
        yield check


def _is_claimed(context: Context, name: str) -> bool:
    """Return whether a job is claimed by the command that this process works for (none: no command)."""
    if not context.claim:
        return True
    for folder in lock_folders(context):
        path, end = folder / f"{name}{_COMMAND}", time.monotonic() + _PATIENCE_S
        while (content := read_lock(path)) is None and time.monotonic() < end:
            time.sleep(_LOOK_S)
            with suppress(OSError):
                os.listdir(folder)  # noqa: PTH208 - asks the server of a shared disk, which a node does now and then only
        holder = holder_of(content) if content else None
        if holder is None or holder.pulse != context.claim:
            return False
    return True


@contextmanager
def pulse_of_jobs(contexts: Sequence[Context]) -> Iterator[str]:
    """Show that the process that runs jobs lives, and give the name for :func:`follow_pulse` in theirs.

    A job's own process cannot: what it calls may hold the interpreter for minutes.
    """
    with pulse(sorted({folder for context in contexts for folder in lock_folders(context)})) as name:
        yield name


def follow_pulse(name: str) -> None:
    """Let the locks of this process name the pulse of the one that started it."""
    global _pulse_of_parent
    _pulse_of_parent = name
