"""One level's jobs from start to end: folders, log, console, crash files, and the files of the whole dataset."""

import hashlib
import json
import os
import shlex
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from bids_app import __version__
from bids_app.cli.console import Console, log_lines
from bids_app.cli.event_log import EventLog
from bids_app.dataset.validation import InputValidation
from bids_app.derivatives.files import open_log, to_json_bytes, write_bytes, write_if_changed
from bids_app.derivatives.records import load_records, records_root
from bids_app.derivatives.scratch import remove_parts, remove_scratch
from bids_app.derivatives.text import utf8
from bids_app.engine.cache import code_version
from bids_app.engine.claims import claimed
from bids_app.engine.events import Event, EventHandler
from bids_app.engine.job import Job, ReportJob, StepsJob
from bids_app.engine.memory import available_memory
from bids_app.engine.remaining_time import Durations, earlier_durations
from bids_app.engine.resources import MAX_RECORDS
from bids_app.engine.runner import Policy
from bids_app.model.context import Context
from bids_app.model.records import GreRun
from bids_app.model.results import JobResult
from bids_app.model.settings import Settings, to_toml

_BIDSIGNORE = (
    "*.html\nsub-*/figures\n*_xfm.*\n*_stats.*\n*_statmap.*\n*_qc.json\ngroup_*\nratings.tsv\nconversion_report.*\n"
    "work\nwork/**\n"
)
#: Share of the available memory that jobs may take by their estimates.
_MEMORY_SHARE = 0.9
#: The validator gets this much longer than the processing.
_VALIDATOR_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Session:
    """Runs the jobs of one level of one command."""

    context: Context
    settings: Settings
    command: tuple[str, ...]  # the words of the command line
    engine: Callable[[Sequence[Job], Policy, EventHandler], dict[str, JobResult]]
    nprocs: int = 1
    mem_gb: float | None = None
    stop_on_first_crash: bool = False
    verbosity: int = 0
    is_scratch: bool = False  # the work directory is this process's own and goes with it
    events: EventLog = field(default_factory=lambda: EventLog(None))

    def process(
        self,
        jobs: Sequence[Job],
        facts: Sequence[str],
        validation: InputValidation | None = None,
        warning: str = "",
        prepare: Callable[[], Sequence[str]] = tuple,
    ) -> int:
        """Run the jobs and return the exit code; ``facts`` are lines for the log.

        ``prepare`` is called when the jobs are this command's alone, and returns more lines.

        Raises
        ------
        OutputInUseError
            If another command works on one of the jobs.
        """
        with claimed(self.context, {job.name: job.is_shared for job in jobs}, self._digest()) as context:
            claimed_jobs = [replace(job, context=replace(job.context, claim=context.claim)) for job in jobs]
            return self._process(claimed_jobs, [*facts, *prepare()], validation, warning)

    def _digest(self) -> str:
        """Return a digest of what results depend on besides the data."""
        text = json.dumps([str(self.context.bids_dir), code_version(), self.settings.to_mapping()], default=str)
        return hashlib.blake2b(utf8(text), digest_size=8).hexdigest()

    def _process(
        self, jobs: Sequence[Job], facts: Sequence[str], validation: InputValidation | None, warning: str
    ) -> int:
        output_dir = self.context.output_dir
        self._clear()
        self._write_dataset_files()
        memory = self.mem_gb * 1e9 if self.mem_gb else _MEMORY_SHARE * available_memory()
        policy = Policy(self.nprocs, int(memory), self.stop_on_first_crash, self.verbosity > 1)
        # Elements of an array start in the same second, on several nodes: each has a log of its own.
        started = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{socket.gethostname()}-{os.getpid()}"
        with open_log(output_dir / "logs" / f"qsm-bids-app-{started}.log") as log:
            log_lines(log, [f"qsm-bids-app {__version__}: {shlex.join(self.command)}", *facts])
            console = Console(jobs, self.verbosity, log, self._earlier)
            self.events.start(jobs, self._earlier)

            def on_event(event: Event) -> None:
                console.on_event(event)
                self.events.on_event(event)

            try:
                results = self.engine(jobs, policy, on_event)
            finally:
                console.stop()
                if self.is_scratch:
                    shutil.rmtree(self.context.work_dir, ignore_errors=True)
            for job in jobs:
                if isinstance(job, StepsJob) and isinstance(job.record, GreRun):
                    results[job.name].warnings[:0] = job.record.remarks
            if any(isinstance(job, ReportJob) for job in jobs):
                from bids_app.report.methods.citation import cite

                cite(output_dir / "logs")
            failed = [job for job in jobs if results[job.name].failures]
            crashes = {job.name: self._write_crash(job, results[job.name]) for job in failed}
            # Where there was nothing to do the user does not wait for the validator.
            busy = any(result.ran or result.failures for result in results.values())
            notes = validation.findings(_VALIDATOR_PATIENCE_S) if validation is not None and busy else []
            self.events.results(list(results.values()))
            console.close(list(results.values()), crashes, [*filter(None, [warning]), *notes])
            console.say(f"results are in {output_dir}")
            console.say(_reports(output_dir, jobs))
        return 1 if crashes else 0

    def _earlier(self) -> dict[str, Durations]:
        return earlier_durations(islice(load_records(records_root(self.context.output_dir)), MAX_RECORDS))

    def _clear(self) -> None:
        """Remove what killed runs have left, but for the folders of the jobs: each job clears its own."""
        remove_scratch(self.context.work_dir)
        logs = self.context.output_dir / "logs"
        for folder in (self.context.output_dir, logs, logs / "reports", logs / "locks"):
            remove_parts(folder)

    def _write_dataset_files(self) -> None:
        output_dir = self.context.output_dir
        description = to_json_bytes(
            {
                "Name": "Quantitative susceptibility maps",
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "qsm-bids-app", "Version": __version__}],
                "DatasetLinks": {"raw": self.context.bids_dir.as_uri()},
            }
        )
        write_if_changed(output_dir / "dataset_description.json", description)
        write_if_changed(output_dir / ".bidsignore", _BIDSIGNORE.encode())
        settings = to_toml(self.settings, [f"qsm-bids-app {__version__}: effective parameters, for --config"])
        digest = hashlib.blake2b(utf8(settings), digest_size=4).hexdigest()  # the same parameters, the same file
        write_if_changed(output_dir / "logs" / f"config-{digest}.toml", utf8(settings))
        readme = (
            "Quantitative susceptibility maps by qsm-bids-app.\n\n"
            "sub-*.html are the reports of the participants: open them first. *_Chimap is susceptibility in ppm, "
            "*_R2starmap is R2* in 1/s, *_T2starmap is T2* in s, and *_fieldmap is a field in Hz.\n"
            "The JSON file of each image names its unit, its reference, its sources and every parameter. "
            "logs/CITATION.md is a text for the methods section of a paper.\n"
        )
        write_if_changed(output_dir / "README.md", utf8(readme))

    def _write_crash(self, job: Job, result: JobResult) -> str:
        """Write what a developer needs to find the cause, and return where."""
        path = self.context.output_dir / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}-{result.job}.txt"
        session = job.record.session if isinstance(job, StepsJob) and isinstance(job.record, GreRun) else None
        text = (
            f"qsm-bids-app {__version__}\nrun: {result.job}\n"
            f"to reproduce: {command_of(self.command, job.subject, session)}\n"
        )
        for failure in result.failures:
            text += f"\nstep {failure.step or '(none)'}: {failure.sentence}\n{failure.traceback}"
        if result.output:
            text += f"\nlast output of the process:\n{result.output}\n"
        text += f"\nparameters:\n{to_toml(self.settings)}"
        write_bytes(path, utf8(text))
        return str(path)


def _reports(output_dir: Path, jobs: Sequence[Job]) -> str:
    """Return the closing line: where the reports of these jobs are."""
    names = [f"sub-{job.subject}.html" if job.subject else "group.html" for job in jobs if isinstance(job, ReportJob)]
    pages = [output_dir / name for name in dict.fromkeys(names) if (output_dir / name).is_file()]
    if not pages:
        return "no report was written"
    return f"report{'s' if pages[1:] else ''}: {pages[0]}{f' and {len(pages) - 1} more' if pages[1:] else ''}"


def command_of(command: Sequence[str], subject: str, session: str | None) -> str:
    """Return the command for one session of one participant alone, with the options of this one."""
    words = list(command)
    for option, label in (("--participant-label", subject), ("--session-label", session)):
        if label:
            words = [word for word in words if not word.startswith(f"{option}=")]
            while option in words:  # it takes all words up to the next option
                start = words.index(option)
                end = next((k for k in range(start + 1, len(words)) if words[k].startswith("-")), len(words))
                del words[start:end]
            words += [option, label]
    return shlex.join(("qsm-bids-app", *words))
