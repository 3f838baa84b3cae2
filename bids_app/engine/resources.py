"""Processors, memory and wall time of cluster jobs, from what earlier runs have measured where there are any."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bids_app.model.step_record import StepRecord

#: Margin above what was measured: other anatomy, a slower node, a busy file system.
_MEMORY_FACTOR, _TIME_FACTOR = 1.5, 3.0
_ESTIMATE_FACTOR = 1.1
#: What the command itself takes in addition to the process that runs the steps.
_COMMAND_BYTES = 4e8
_MIN_MEMORY_GB, _MIN_MINUTES = 2, 10
#: Records that are read at most; more would not change the estimates.
MAX_RECORDS = 5000


@dataclass(frozen=True)
class Resources:
    """What one job asks the scheduler for."""

    cpus: int
    memory_gb: int
    minutes: int
    origin: str  # where the numbers come from, for the comment in the script

    @property
    def walltime(self) -> str:
        """Wall time as ``HH:MM:SS``."""
        return f"{self.minutes // 60:02d}:{self.minutes % 60:02d}:00"


#: Where nothing was measured yet: 1 mm whole-brain data with segmentation by registration.
DEFAULTS: Mapping[str, Resources] = {
    "participant": Resources(4, 8, 120, "default"),
    # Tables and statistics of everybody.
    "group": Resources(4, 8, 240, "default"),
    # One participant, or one average, of the template.
    "stage": Resources(4, 8, 240, "default"),
}


def measured(records: Iterable[StepRecord], steps: Collection[str], default: Resources, estimate: int = 0) -> Resources:
    """Return what a job that runs ``steps`` (names) should ask for.

    The time of a job is the sum over its steps, and over all runs of a participant's session: one element does them
    all. Its memory is the largest peak of any step, but no less than the steps' own ``estimate`` (bytes): the images
    to come may be larger than those that were measured. Both get a margin.
    """
    cpus, seconds, peak = default.cpus, defaultdict[str, float](float), 0
    for record in records:
        if record.step not in steps:
            continue
        seconds[_element_of(record.basename)] += record.duration_s * max(1.0, record.threads / cpus)
        peak = max(peak, record.peak_memory_bytes)
    least = math.ceil((estimate * _ESTIMATE_FACTOR + _COMMAND_BYTES) / 1e9)
    if not seconds or not peak:
        memory = max(default.memory_gb, least)
        return Resources(cpus, memory, default.minutes, "default, nothing measured yet")
    memory = max(_MIN_MEMORY_GB, least, math.ceil((peak * _MEMORY_FACTOR + _COMMAND_BYTES) / 1e9))
    minutes = max(_MIN_MINUTES, math.ceil(max(seconds.values()) * _TIME_FACTOR / 60))
    return Resources(cpus, memory, minutes, f"measured over {len(seconds)} earlier runs, no less than estimated")


def _element_of(basename: str) -> str:
    """Return participant and session of a participant's record; all of another's name."""
    words = basename.split("_")
    return "_".join(word for word in words if word.startswith(("sub-", "ses-"))) or basename
