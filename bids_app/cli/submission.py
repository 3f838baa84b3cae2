"""From the stages of a command to array scripts (``--write-jobs``)."""

import os
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

from bids_app.cli.cluster import Cluster
from bids_app.cli.config import Selection
from bids_app.dataset.expected import planned
from bids_app.dataset.subjects import selected_subjects
from bids_app.derivatives.records import load_records, records_root
from bids_app.engine.arrays import ArrayStage, Site, write_scripts
from bids_app.engine.elements import Element, list_elements
from bids_app.engine.levels import FIRST_STAGE, REPORT_STAGE, group_stages, participant_jobs, participant_stages
from bids_app.engine.resources import DEFAULTS, MAX_RECORDS, measured
from bids_app.errors import UsageError
from bids_app.model.context import Context
from bids_app.model.records import Subject
from bids_app.model.settings import Settings
from bids_app.model.step_record import StepRecord

#: NFS clients keep what they know of a folder for a minute at most: so long may a file of another node stay invisible.
_PATIENCE_S = 60


def own_command() -> tuple[str, ...]:
    """Return how this very installation is called."""
    script = Path(sys.executable).with_name("qsm-bids-app")  # another one may come first on PATH
    return (str(script),) if script.is_file() else (sys.executable, "-m", "bids_app")


def _with_variables(word: str) -> str:
    """Return a word for a shell that expands its variables, ``$NAME`` and ``${NAME}``, and nothing else in it."""
    parts = re.split(r"(\$\w+|\$\{\w+\})", word)
    return "".join(f'"{part}"' if number % 2 else shlex.quote(part) for number, part in enumerate(parts) if part)


def _in_container() -> bool:
    """Return whether this process runs inside a container, whose paths the jobs do not see."""
    marks = ("/.dockerenv", "/run/.containerenv", "/.singularity.d")
    return "APPTAINER_CONTAINER" in os.environ or any(Path(mark).exists() for mark in marks)


@dataclass(frozen=True)
class Submission:
    """What jobs are written for: levels, participants, settings, and the site's wishes."""

    levels: tuple[str, ...]
    selection: Selection
    settings: Settings
    context: Context
    cluster: Cluster

    def write(self, scheduler: str, folder: Path) -> int:
        """Write the scripts, print what to do next, and return the exit code.

        Raises
        ------
        UsageError
            If scans are to be converted, or a script cannot take the folder's name safely.
        """
        if "convert" in self.levels:
            text = "--write-jobs: convert the scans first on one machine, then write jobs for the other levels"
            raise UsageError(text)
        cluster = self.cluster
        if not cluster.command and _in_container():
            print(
                "qsm-bids-app: warning: this runs in a container and the jobs will not; say how they start the image, "
                "for example --container-command 'apptainer run qsm.sif'",
                file=sys.stderr,
            )
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
        elements = list_elements(self.context.bids_dir, self.selection.participants, self.selection.sessions)
        written = write_scripts(folder, site, elements, self.plan(elements))
        print(f"{len(elements)} elements; {len(written)} files in {folder}")
        print(f"send them: bash {shlex.quote(str(folder / 'submit.sh'))}")
        return 0

    def plan(self, elements: Sequence[Element]) -> list[ArrayStage]:
        """Return the chain of arrays for the levels that were asked for: the stages of the job graph, in its order."""
        chain = [self._participant_array(elements)] if "participant" in self.levels else []
        if "group" not in self.levels:
            return chain
        cohort = planned(self.context.bids_dir, self.selection.participants, self.selection.sessions)
        for stage in group_stages(cohort, self.settings, self.context):
            kind = "group" if stage.name == FIRST_STAGE else "stage"
            memory, count = stage.memory(self.settings), len(stage.records)
            chain.append(self._group_array(stage.name, stage.step_names(), kind, memory, count))
        return [*chain, self._group_array(REPORT_STAGE, (), "stage", 0, 1)]

    def _participant_array(self, elements: Sequence[Element]) -> ArrayStage:
        steps = {name for stage in participant_stages(Subject("", ())) for name in stage.step_names()}
        chosen = '--participant-label "$subject" ${session:+--session-label "$session"}'
        memory = self._participant_memory(elements)
        array = self._array("participant", "participant", steps, "participant", memory, chosen)
        return replace(array, elements=len(elements), reads_list=True)

    def _group_array(self, name: str, steps: Collection[str], kind: str, memory: int, count: int) -> ArrayStage:
        """Return one stage of the group level: a single job for one record, else an array."""
        part = f'--stage-part "$index"/{count}' if count > 1 else ""
        patience = f"--stage-patience {_PATIENCE_S}"
        words = " ".join(filter(None, [f"--stage {name}", part, patience, self._selected()]))
        array = self._array("group", f"group-{name}", steps, kind, memory, words)
        return replace(array, elements=count if count > 1 else 0)

    def _array(self, level: str, name: str, steps: Collection[str], kind: str, memory: int, words: str) -> ArrayStage:
        default = replace(DEFAULTS[kind], cpus=self.cluster.cpus or DEFAULTS[kind].cpus)
        resources = measured(self._records, steps, default, memory)
        # The validator reads the whole dataset: once, by whoever submits, and not in every job.
        always = f"--nprocs 1 --omp-nthreads {resources.cpus} --skip-bids-validation"
        place = shlex.join([str(self.context.bids_dir), str(self.context.output_dir)])
        arguments = " ".join(filter(None, [place, level, always, self._options(), words]))
        return ArrayStage(name, arguments, resources)

    @cached_property
    def _records(self) -> list[StepRecord]:
        return list(islice(load_records(records_root(self.context.output_dir)), MAX_RECORDS))

    def _participant_memory(self, elements: Sequence[Element]) -> int:
        """Return the largest memory (bytes) that the steps expect of the first participant; 0 if it cannot be read."""
        try:
            coils = self.settings.field.choice.coils == "combine"
            subjects = selected_subjects(self.context.bids_dir, (elements[0][0],), (), self.selection.filters, coils)
            return max((job.memory for job in participant_jobs(subjects, self.settings, self.context)), default=0)
        except Exception:  # whatever is wrong with this participant is reported by its own element
            return 0

    def _options(self) -> str:
        """Return the passed-on options as shell words; variables in --scratch are expanded where the job runs."""
        words = []
        previous = ""
        for word in self.cluster.passed_on:
            words.append(_with_variables(word) if previous == "--scratch" else shlex.quote(word))
            previous = word
        return " ".join(words)

    def _selected(self) -> str:
        participants, sessions = self.selection.participants, self.selection.sessions
        words = ["--participant-label", *participants] if participants else []
        words += ["--session-label", *sessions] if sessions else []
        return shlex.join(words)
