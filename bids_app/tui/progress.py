"""The run of the command: its process, and what its events say about the jobs."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.engine.remaining_time import in_words
from bids_app.model.json_values import JsonObject

#: Seconds that a command has to end by itself after it was asked to stop.
_PATIENCE_S = 20.0

#: How the command ended, in words, by its exit code.
ENDINGS = {
    0: "All done.",
    1: "Some runs failed; the others are done.",
    2: "The command line or a parameter is wrong.",
    3: "The input was refused; the reasons are below.",
    4: "A required tool is missing.",
    5: "Another command is writing the same output; nothing was computed.",
    130: "Stopped. Start again to continue where it ended.",
    143: "Stopped. Start again to continue where it ended.",
}


@dataclass
class JobState:
    """How far a job is."""

    name: str
    status: str = "waiting"
    step: str = ""
    fraction: float | None = None  # of the present step, 0 to 1
    notes: list[str] = field(default_factory=list)
    seconds: float | None = None

    @property
    def title(self) -> str:
        """The name as the user reads it."""
        return self.name.replace("_report", ": report")


@dataclass
class Progress:
    """What the events have said so far."""

    jobs: dict[str, JobState] = field(default_factory=dict)
    left: str = ""
    message: str = ""

    @property
    def done(self) -> int:
        """How many jobs have ended."""
        return sum(job.status not in ("waiting", "running") for job in self.jobs.values())

    def take(self, line: str) -> None:
        """Take a line of the file of events; a line that is cut short is left out."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        kind = event.get("kind")
        if kind == "message":
            self.message = event["text"]
        elif kind == "jobs":
            self.jobs = {name: JobState(name) for name in event["names"]}
            self.left = self.message = ""
        elif event.get("job") in self.jobs:
            self._of_job(self.jobs[event["job"]], kind, event)

    def _of_job(self, job: JobState, kind: str, event: JsonObject) -> None:
        if kind == "result":
            job.status, job.step, job.fraction = event["status"], "", None
            job.seconds = event["seconds"]
            job.notes = [*event["failures"], *event["warnings"]]
            return
        self.left = in_words(event.get("left_s"))
        if kind == "job-started":
            job.status = "running"
        elif kind == "job-finished":
            failed = job.status == "FAILED"
            job.status, job.step, job.fraction = "FAILED" if failed else "done", "", None
        elif kind == "failed":
            job.status = "FAILED"
        else:
            job.step = event["step"]
            job.fraction = event["done"] / event["total"] if event.get("total") else None


@dataclass
class Events:
    """Reads the lines of a file that grows."""

    path: Path
    _position: int = 0

    def lines(self) -> list[str]:
        """Return the whole lines that have come since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole.decode("utf-8", "replace").splitlines()


class Command:
    """A command that runs in the background, in a process group of its own."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        self._process = await asyncio.create_subprocess_exec(
            *self._words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "TERM": "dumb"},
        )

    async def output(self) -> AsyncIterator[str]:
        """Yield the lines that the process prints, until it closes its output."""
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            yield line.decode("utf-8", "replace").rstrip("\n")

    async def wait(self) -> int:
        """Return the exit code; a signal counts as shells count it."""
        assert self._process is not None
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> None:
        """Ask the process to end, and end it and its children if it does not."""
        if self._process is None or not self.runs:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
