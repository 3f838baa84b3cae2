"""Frozen records of a conversion: what is asked for, what became of every series."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.errors import UsageError

#: Called with one sentence for everything that happens.
OnEvent = Callable[[str], None]
#: Holds subjects (by label, without ``sub-``) for this process while they are converted.
Claim = Callable[[Collection[str]], AbstractContextManager[None]]


def unclaimed(subjects: Collection[str]) -> AbstractContextManager[None]:
    """Hold nothing: the caller sees to it that nobody else converts the same subjects."""
    return nullcontext()


CONVERTED = "converted"
SKIPPED = "skipped"
FAILED = "failed"
KEPT = "kept"  # was in the dataset before this run
NOT_CONVERTED = "not converted"  # came after its session was converted
PLANNED = "planned"  # what a dry run would convert
_IN_WORDS = {
    CONVERTED: "converted",
    PLANNED: "would be converted",
    KEPT: "in the dataset already",
    NOT_CONVERTED: "not converted: came after their session",
    SKIPPED: "skipped",
    FAILED: "failed",
}

#: The parts of a complex image, in the words of BIDS.
PARTS = ("mag", "phase", "real", "imag")


@dataclass(frozen=True)
class ConvertRequest:
    """What the user asks for; exactly one of ``dicom_dir``, ``nifti_dir`` and ``nifti_table`` is given.

    ``subject_pattern`` and ``session_pattern`` are regular expressions that are searched in the path of a study's
    files (relative to the folder given) and then in its PatientID (sessions: its StudyDate); the group named
    ``subject`` or ``session``, or else the first group, or else the whole match, is the label. ``claim`` is called with
    the subjects before anything is written.
    """

    bids_dir: Path
    report_dir: Path
    work_dir: Path
    dicom_dir: Path | None = None
    nifti_dir: Path | None = None
    nifti_table: Path | None = None
    participant_labels: tuple[str, ...] = ()
    session_labels: tuple[str, ...] = ()
    heuristic: str = "generic"
    subject_pattern: str | None = None
    session_pattern: str | None = None
    series_table: Path | None = None  # corrections of single series
    add: bool = False  # complete sessions that are in the dataset
    dry_run: bool = False
    nprocs: int = 1
    claim: Claim = unclaimed

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The folders that we write: what is in them is no input."""
        return self.bids_dir, self.report_dir, self.work_dir

    @property
    def source(self) -> Path:
        """The folder or table that is given; raises UsageError unless there is exactly one."""
        given = [path for path in (self.dicom_dir, self.nifti_dir, self.nifti_table) if path is not None]
        if len(given) != 1:
            raise UsageError("Give exactly one of --dicom-dir, --nifti-dir and --nifti-table.")
        return given[0]


@dataclass(frozen=True)
class Problem:
    """A file that cannot be used, and why."""

    path: str  # relative to the folder that the user gave
    reason: str


@dataclass(frozen=True)
class SeriesOutcome:
    """What became of one series."""

    subject: str
    session: str | None
    number: int | None
    description: str
    source: str  # folder of its files, relative to the folder that the user gave
    files: int
    status: str
    reason: str
    way: str = ""  # heudiconv, dcm2niix or copy
    outputs: tuple[str, ...] = ()  # paths relative to the dataset
    uid: str = ""  # hash that names the series in later runs

    @property
    def title(self) -> str:
        """Subject, session, number and description in words."""
        session = f" ses-{self.session}" if self.session else ""
        return f"sub-{self.subject}{session}, series {self.number} ({self.description})"

    def with_status(self, status: str, reason: str, way: str = "", outputs: tuple[str, ...] = ()) -> "SeriesOutcome":
        """Return the same series with another fate."""
        return replace(self, status=status, reason=reason, way=way, outputs=outputs)


def in_words(outcomes: Sequence[SeriesOutcome]) -> str:
    """Return the numbers of series by their fate: ``5 series: 4 converted, 1 skipped``."""
    counts = Counter(o.status for o in outcomes)
    sentences = ", ".join(f"{counts[status]} {words}" for status, words in _IN_WORDS.items() if counts[status])
    return f"{len(outcomes)} series: {sentences or 'none'}"


@dataclass(frozen=True)
class ConversionReport:
    """The result of :func:`bids_app.convert.convert`."""

    bids_dir: Path
    outcomes: tuple[SeriesOutcome, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()  # labels that were sanitised, how subjects were found ...
    table: Path | None = None  # the TSV written to the output folder
    page: Path | None = None  # the readable page of the same content

    @property
    def failures(self) -> tuple[str, ...]:
        """One sentence for everything that went wrong; empty when all is well."""
        series = [f"{o.title}: {o.reason}" for o in self.outcomes if o.status in (FAILED, NOT_CONVERTED)]
        return tuple([f"{p.path}: {p.reason}" for p in self.problems] + series)

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
        return 1 if self.failures else 0

    @property
    def usable(self) -> bool:
        """Whether at least one series is in the dataset now, or would be."""
        return any(o.status in (CONVERTED, KEPT, PLANNED) for o in self.outcomes)

    @property
    def summary(self) -> str:
        """One sentence with the numbers."""
        broken = f"; {len(self.problems)} file(s) cannot be read" if self.problems else ""
        return f"{in_words(self.outcomes)}{broken}."

    def count(self, status: str) -> int:
        """Return the number of series with this fate."""
        return sum(o.status == status for o in self.outcomes)


#: What a way in returns: the fate of every series, files that cannot be used, notes.
Result = tuple[list[SeriesOutcome], list[Problem], list[str]]
