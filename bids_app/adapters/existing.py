"""Segmentations that are there already: found by a pattern among derivatives, matched by entities, never by order."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.adapters.atlas import entities_of
from bids_app.errors import UsageError

_EXTENSIONS = (".nii", ".nii.gz", ".mgz")


def is_pattern(word: str) -> bool:
    """Return whether a word of ``--segmentation`` is a pattern of files and no method."""
    return any(mark in word for mark in "*?[{/") or word.endswith(_EXTENSIONS)


def name_of(pattern: str, default: str) -> str:
    """Return the name in our file names: ``seg``, ``atlas``, ``label`` or ``desc`` of the pattern."""
    for key in ("seg", "atlas", "label", "desc"):
        match = re.search(rf"(?:^|[_/*]){key}-([A-Za-z0-9]+)(?=[_.*]|$)", pattern)
        if match:
            return match.group(1)
    return default


def check_pattern(pattern: str) -> None:
    """Raise UsageError unless ``{subject}`` and ``{session}`` are all that stands in braces."""
    if re.search(r"[{}]", re.sub(r"\{(subject|session)\}", "", pattern)):
        raise UsageError(f"pattern {pattern!r}: only {{subject}} and {{session}} are allowed in braces")
    if not pattern.strip("/") or any("**" in part and part != "**" for part in pattern.split("/")):
        raise UsageError(f"pattern {pattern!r}: ** stands for folders, alone between slashes; write * for any text")


def find(
    pattern: str, roots: Sequence[Path], wanted: Mapping[str, str], alternatives: Mapping[str, str] | None = None
) -> Path | None:
    """Return the file that a pattern means for a run; None where there is none.

    Parameters
    ----------
    pattern : str
        A path or file name with ``*`` and the words ``{subject}`` and ``{session}``; a relative one is looked for in
        every folder below ``roots``.
    roots : sequence of paths
        Derivative datasets.
    wanted : mapping
        Entities of the run. A file of another subject never matches, nor one whose session, acquisition, run ...
        is another one; entities that only one of the two has are no obstacle. Most common entities win.
    alternatives : mapping, optional
        Entities of the run's T1w image, whose values may stand for the run's own.

    Raises
    ------
    UsageError
        If the pattern has an unknown word in braces.
    """
    check_pattern(pattern)
    filled = pattern.replace("{subject}", wanted["sub"]).replace("{session}", wanted.get("ses", ""))
    if Path(filled).is_absolute():
        anchor = Path(Path(filled).anchor)
        paths = list(anchor.glob(str(Path(filled).relative_to(anchor))))
    else:
        paths = [path for root in roots for path in root.glob(f"**/{filled}")]
    candidates = [p for p in paths if p.is_file() and p.name.endswith(_EXTENSIONS) and p.stat().st_size > 0]
    scored = [(score, path) for path in candidates if (score := _agreement(path, wanted, alternatives or {})) >= 0]
    return min(scored, key=lambda item: (-item[0], str(item[1])))[1] if scored else None


def _agreement(path: Path, wanted: Mapping[str, str], alternatives: Mapping[str, str]) -> int:
    """Return how many entities agree; -1 for a file of something else."""
    entities = entities_of(path)
    if "sub" not in entities:  # a file whose folders alone say whose it is
        entities |= _entities_of_folders(path.parts[:-1])
    if entities.get("sub") != wanted["sub"]:
        return -1
    score = 0
    for key in ("ses", "acq", "ce", "rec", "dir", "run"):
        values = {wanted.get(key), alternatives.get(key)} - {None}
        if key in entities and values:
            if entities[key] not in values:
                return -1
            score += 1
    return score


def _entities_of_folders(folders: Sequence[str]) -> dict[str, str]:
    """Return what the nearest ``sub-`` folder and a ``ses-`` folder below it say; those above say nothing of a file."""
    places = [number for number, folder in enumerate(folders) if folder.startswith("sub-")]
    inner = folders[places[-1] :] if places else ()
    return {key: value for key, _, value in (folder.partition("-") for folder in inner) if key in ("sub", "ses")}


def table_for(path: Path) -> Path | None:
    """Return the table that names an image's labels: in its folder, or above it; None where there is none."""
    stem = path.name.split(".", 1)[0]
    entities = entities_of(path)
    for folder in (path.parent, *path.parents[:4]):
        tables = [
            t
            for t in sorted(folder.glob("*dseg.tsv"))
            if t.name == f"{stem}.tsv" or entities_of(t).items() <= entities.items()
        ]
        if tables:
            return max(tables, key=lambda table: len(entities_of(table)))
    return None
