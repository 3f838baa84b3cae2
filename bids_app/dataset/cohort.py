"""Who is in the group: what ``participant`` has made, compared with the participants of the dataset.

Found by the engine's records and their files' sizes, so that thousands of participants take seconds; a file whose size
or time is not that of its record is hashed by the steps that read it.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bids_app.model.naming import Entities, entities_in, run_entities
from bids_app.model.records import spelled

_PHASE = re.compile(r"_part-(?:phase|real)(?:_[a-z]+-[A-Za-z0-9+]+)*_(?:MEGRE|T2starw|T1w)\.nii(?:\.gz)?$")
#: Products that everyone should have if most have them.
_EXPECTED = ("chimap", "regions@")


@dataclass(frozen=True)
class GroupRun:
    """A gradient-echo run as the group sees it: whose it is, and which products are there."""

    entities: Entities
    made: tuple[str, ...]  # keys of products
    #: Entities of the T1w image that the run was registered with.
    t1w: Entities | None = None
    #: Similarity of magnitude and T1w image after registration (mutual information).
    similarity: float | None = None

    @property
    def subject(self) -> str:
        """The participant's label."""
        return dict(self.entities)["sub"]

    @property
    def session(self) -> str | None:
        """The session's label."""
        return dict(self.entities).get("ses")

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_acq-x_run-1``."""
        return spelled(self.entities)

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities}


@dataclass(frozen=True)
class CompletenessEntry:
    """One line of the list of participants."""

    subject: str
    session: str | None
    run: str  # basename; of the session where no run is known
    status: str  # found, incomplete, failed, missing, no data
    reason: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether something that should be there is not."""
        return self.status in ("incomplete", "failed", "missing")


@dataclass(frozen=True)
class Cohort:
    """All runs that the group level works on; what its tables and statistics run over."""

    runs: tuple[GroupRun, ...]
    entries: tuple[CompletenessEntry, ...] = ()
    participants: Path | None = None  # participants.tsv
    sessions: tuple[Path, ...] = ()  # sub-*_sessions.tsv
    entities: Entities = ()
    #: Runs measured in a manual segmentation of the template (``ManualSegmentationRun``); the tables hold these alone.
    drawn: tuple[Any, ...] = ()

    @property
    def basename(self) -> str:
        """Return ``group``; another one for the tables of a drawn segmentation."""
        return "group_drawn" if self.drawn else "group"

    @property
    def segmentations(self) -> tuple[str, ...]:
        """Names of the segmentations that any run has a table of."""
        if self.drawn:
            return (self.drawn[0].drawing.name,)
        return tuple(sorted({key.partition("@")[2] for run in self.runs for key in run.made if "regions@" in key}))

    def quality_of(self, run: str) -> float | None:
        """Return how well a run's registration went."""
        return next((other.similarity for other in self.runs if other.basename == run), None)

    def facts(self) -> Mapping[str, Any]:
        """Return what results depend on besides bytes of images and parameters."""
        return {
            "runs": [(run.basename, run.similarity) for run in self.runs],
            "entries": [(s.run, s.status, s.reason) for s in self.entries],
        }


def survey(
    bids_dir: Path,
    output_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    by_run: bool = True,
) -> Cohort:
    """Return what is there of whom.

    ``by_run`` False compares by participant and session alone (images were selected by a filter).
    """
    expected = _expected(bids_dir, participants, sessions)
    made = {
        run.basename: run
        for run in _made(output_dir)
        if (not participants or run.subject in participants) and (not sessions or run.session in sessions)
    }
    found = {name: run for name, run in made.items() if "chimap" in run.made}
    entries = []
    common = _common(made.values())
    for subject, session, names in expected:
        here = [run for run in found.values() if (run.subject, run.session) == (subject, session)]
        wanted = names if by_run else ([] if here else names[:1])
        home = f"sub-{subject}" + (f"_ses-{session}" if session else "")
        if not names and not here:
            entries.append(
                CompletenessEntry(subject, session, home, "no data", "no gradient echo with phase in the dataset")
            )
        lost = [name for name in wanted if name not in found]
        entries += [_lost(output_dir, subject, session, name, name in made) for name in lost]
    for name, run in found.items():
        lacks = [key for key in common if key not in run.made]
        status, reason = ("incomplete", f"has no {', '.join(lacks)}") if lacks else ("found", "")
        if lacks:
            reason += _last_words(output_dir, name)
        entries.append(CompletenessEntry(run.subject, run.session, name, status, reason))
    entries.sort(key=lambda standing: standing.run)
    table = bids_dir / "participants.tsv"
    return Cohort(
        tuple(found[name] for name in sorted(found)),
        tuple(entries),
        table if table.is_file() else None,
        tuple(sorted(bids_dir.glob("sub-*/sub-*_sessions.tsv"))),
    )


def planned(bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> Cohort:
    """Return whom the group will hold when the level ``participant`` has made everything, by names of files alone."""
    names = [name for _, _, runs in _expected(bids_dir, participants, sessions) for name in runs]
    return Cohort(tuple(GroupRun(entities_in(name), ()) for name in sorted(names)))


def to_json(cohort: Cohort) -> dict[str, Any]:
    """Return a cohort as plain values."""
    return asdict(cohort) | {
        "participants": str(cohort.participants) if cohort.participants else None,
        "sessions": [str(path) for path in cohort.sessions],
    }


def from_json(content: Mapping[str, Any]) -> Cohort:
    """Return the cohort that ``to_json`` has given; KeyError and TypeError where it is another content."""
    runs = []
    for run in content["runs"]:
        t1w = None if run["t1w"] is None else _pairs(run["t1w"])
        runs.append(GroupRun(_pairs(run["entities"]), tuple(run["made"]), t1w, run["similarity"]))
    table = content["participants"]
    return Cohort(
        tuple(runs),
        tuple(CompletenessEntry(**standing) for standing in content["entries"]),
        Path(table) if table else None,
        tuple(Path(path) for path in content["sessions"]),
    )


def _pairs(content: Iterable[Sequence[str]]) -> Entities:
    return tuple((key, value) for key, value in content)


def troubles(cohort: Cohort, limit: int = 20) -> list[str]:
    """Return one sentence for every participant that is missing, failed or incomplete, and a last one on what to do."""
    bad = [standing for standing in cohort.entries if standing.is_problem]
    lines = [f"{s.run}: {s.status}: {s.reason}" for s in bad[:limit]]
    if len(bad) > limit:
        lines.append(f"and {len(bad) - limit} more")
    return lines


def _expected(
    bids_dir: Path, participants: Sequence[str], sessions: Sequence[str]
) -> list[tuple[str, str | None, list[str]]]:
    """Return subject, session and the basenames of its gradient-echo runs, by the names of files alone."""
    listed = []
    for home in sorted(bids_dir.glob("sub-*")):
        subject = home.name.removeprefix("sub-")
        if not home.is_dir() or (participants and subject not in participants):
            continue
        inner = sorted(path for path in home.glob("ses-*") if path.is_dir())
        for place in inner or [home]:
            session = place.name.removeprefix("ses-") if inner else None
            if sessions and session not in sessions:
                continue
            images = (path.name for path in place.glob(f"anat/{home.name}_*.nii*"))
            names = {spelled(run_entities(name)) for name in images if _PHASE.search(name)}
            listed.append((subject, session, sorted(names)))
    return listed


def _made(output_dir: Path) -> Iterable[GroupRun]:
    """Give every run that has records, with the products that are as large as their records say."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for folder, _, files in os.walk(output_dir / "logs" / "records"):
        for name in sorted(files):
            basename, mark, _ = name.partition("_step-")
            # An anatomical image ends with its suffix, and rounds of the template have records too.
            if mark and basename.startswith("sub-") and len(entities_in(basename)) == len(basename.split("_")):
                runs.setdefault(basename, []).append(_record(Path(folder) / name))
    for basename, records in sorted(runs.items()):
        made = sorted({key for record in records for key in _intact(record, output_dir)})
        registration: dict[str, Any] = next((r for r in records if r.get("step") == "registration"), {})
        similarity = registration.get("metrics", {}).get("mutual_information")
        yield GroupRun(entities_in(basename), tuple(made), _t1w_of(registration), similarity)


def _t1w_of(registration: Mapping[str, Any]) -> Entities | None:
    for entry in registration.get("files", []):
        if entry["path"].endswith("desc-preproc_T1w.nii.gz"):
            return tuple(pair for pair in entities_in(Path(entry["path"]).name) if pair[0] != "desc")
    return None


def _record(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _intact(record: Mapping[str, Any], output_dir: Path) -> list[str]:
    """Return the keys of products that are there and as large as the record says (working files may be gone)."""
    sizes = {entry["path"]: entry["size"] for entry in record.get("files", [])}
    kept = []
    for key, relative in record.get("paths", {}).items():
        try:
            size = (output_dir / relative).stat().st_size
        except OSError:
            continue
        if size == sizes.get(relative):
            kept.append(key)
    return kept


def _common(runs: Iterable[GroupRun]) -> list[str]:
    """Return the products that more than half of all runs have, of those that a table of the group needs."""
    all_runs = list(runs)
    keys = sorted({key for run in all_runs for key in run.made if key.startswith(_EXPECTED)})
    return [key for key in keys if 2 * sum(key in run.made for run in all_runs) > len(all_runs)]


def _lost(output_dir: Path, subject: str, session: str | None, name: str, begun: bool) -> CompletenessEntry:
    words = _last_words(output_dir, name)
    if begun or words:
        return CompletenessEntry(
            subject, session, name, "failed", "no susceptibility map that is like its record" + words
        )
    return CompletenessEntry(subject, session, name, "missing", "the participant level has made nothing of it")


def _last_words(output_dir: Path, basename: str) -> str:
    """Return what the newest crash file of a run says, after a colon."""
    crashes = sorted((output_dir / "logs").glob(f"crash-*-{basename}.txt"))
    if crashes:
        for line in crashes[-1].read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("step "):
                return f" ({line.removeprefix('step ')[:200]})"
    return ""
