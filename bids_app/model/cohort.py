"""The records of the group as a whole: its runs, and who is missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_app.model.group_run import GroupRun
from bids_app.model.records import Entities
from bids_app.model.template import ManualSegmentationRun

#: Statuses of runs that should be there, and are not as they should be.
PROBLEMS = ("incomplete", "changed", "failed", "missing")
#: Runs that are left out on purpose.
EXCLUDED, WITHDRAWN = "excluded", "not in the dataset"
#: The step of runs that are no volume: they have no susceptibility map, and are no part of a group.
SLICE_STEP = "slices"


@dataclass(frozen=True)
class CompletenessEntry:
    """One line of the list of participants."""

    subject: str
    session: str | None
    run: str  # basename; of the session where no run is known
    status: str  # found, no data, or one of PROBLEMS, EXCLUDED, WITHDRAWN
    reason: str = ""
    rating: str = ""  # good, usable or exclude; empty: not rated
    note: str = ""  # of the person who rated it

    @property
    def is_problem(self) -> bool:
        """Whether something that should be there is not."""
        return self.status in PROBLEMS

    @property
    def sentence(self) -> str:
        """Return the entry as one line of text."""
        return f"{self.run}: {self.status}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True)
class Cohort:
    """All runs that the group level works on; what its tables and statistics run over."""

    runs: tuple[GroupRun, ...]
    entries: tuple[CompletenessEntry, ...] = ()
    participants: Path | None = None  # participants.tsv
    sessions: tuple[Path, ...] = ()  # sub-*_sessions.tsv
    entities: Entities = ()
    #: Runs measured in a manual segmentation of the template (``ManualSegmentationRun``); the tables hold these alone.
    manual: tuple[ManualSegmentationRun, ...] = ()
    #: What the user should know about all of them, in sentences.
    remarks: tuple[str, ...] = ()

    @property
    def basename(self) -> str:
        """Return ``group``; another one for the tables of a manual segmentation."""
        return "group_manual" if self.manual else "group"

    @property
    def segmentations(self) -> tuple[str, ...]:
        """Names of the segmentations that any run has a table of."""
        if self.manual:
            return (self.manual[0].segmentation.name,)
        return tuple(sorted({key.partition("@")[2] for run in self.runs for key in run.made if "regions@" in key}))

    def quality_of(self, run: str) -> float | None:
        """Return how well a run's registration went."""
        return next((other.similarity for other in self.runs if other.basename == run), None)

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {
            "runs": [(run.basename, run.similarity) for run in self.runs],
            "entries": [(entry.run, entry.status, entry.reason, entry.rating, entry.note) for entry in self.entries],
            "remarks": self.remarks,
        }
