"""Finding the data; the only module that knows pybids."""

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.dataset.models import Anatomical, Echo, Entities, GreRun, Subject
from bids_app.dataset.pairing import choose_t1w
from bids_app.errors import InputRefusedError

#: pybids entity names and their short keys, in file-name order.
_ENTITIES = {
    "subject": "sub", "session": "ses", "acquisition": "acq", "ceagent": "ce", "reconstruction": "rec",
    "direction": "dir", "run": "run",
}  # fmt: skip
_SUFFIXES = ("MEGRE", "T2starw", "T1w")


def participant_labels(bids_dir: Path) -> list[str]:
    """Return the labels of the participants that have a folder."""
    return sorted(e.name.removeprefix("sub-") for e in os.scandir(bids_dir) if e.is_dir() and e.name.startswith("sub-"))


def find_subjects(
    bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()
) -> tuple[Subject, ...]:
    """Return the participants (default: all) with their gradient-echo runs, indexing only what is asked for.

    Raises
    ------
    InputRefusedError
        If the folder is no BIDS dataset, or a participant is unknown.
    """
    if not (bids_dir / "dataset_description.json").is_file():
        raise InputRefusedError(
            [f"{bids_dir} has no dataset_description.json: give the top folder of a BIDS dataset as the first argument"]
        )
    known = participant_labels(bids_dir)
    missing = [label for label in participants if label not in known]
    if missing:
        there = ", ".join(known) or "none"
        raise InputRefusedError(
            [f"participant {label!r} is not in the dataset; there are: {there}" for label in missing]
        )
    groups: dict[tuple[Any, ...], list[Any]] = {}
    images: list[Anatomical] = []
    for file in _image_files(bids_dir, participants):
        entities = _entities(file)
        if file.entities["suffix"] == "T1w" and "part" not in file.entities:
            images.append(Anatomical(Path(file.path), file.entities["subject"], dict(entities).get("ses"), entities))
        if not sessions or dict(entities).get("ses") in sessions:
            groups.setdefault((file.entities["suffix"], entities), []).append(file)
    runs = [_run(suffix, entities, files) for (suffix, entities), files in sorted(groups.items(), key=str)]
    subjects = []
    for label in participants or known:
        # Without a phase a T1w is an anatomical image and nothing that we reconstruct.
        mine = [
            r for r in runs if r.subject == label and (r.suffix != "T1w" or any(e.phase or e.real for e in r.echoes))
        ]
        t1w = tuple(image for image in images if image.subject == label)
        subjects.append(Subject(label, tuple(_with_t1w(run, t1w) for run in mine), t1w))
    return tuple(subjects)


def _is_gradient_echo(run: GreRun) -> bool:
    # Without a phase a T1w is an anatomical image and nothing that we reconstruct.
    return run.suffix != "T1w" or any(echo.phase or echo.real for echo in run.echoes)


def _with_t1w(run: GreRun, images: Sequence[Anatomical]) -> GreRun:
    image, sentence = choose_t1w(run, images)
    return replace(run, t1w=image, t1w_choice=sentence)


def _image_files(bids_dir: Path, participants: Sequence[str]) -> Iterable[Any]:
    ignore = [
        re.compile(r"/(derivatives|sourcedata|code|models|stimuli|func|dwi|perf|meg|eeg)(/|$)"),
        re.compile(r"/\."),
    ]
    if participants:
        wanted = "|".join(re.escape(label) for label in participants)
        ignore.append(re.compile(rf"/sub-(?!({wanted})(/|_|$))"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pybids' and its libraries' own deprecations are nothing to the user
        from bids.layout import BIDSLayout, BIDSLayoutIndexer

        indexer = BIDSLayoutIndexer(validate=False, ignore=ignore, index_metadata=True)
        layout = BIDSLayout(bids_dir, validate=False, indexer=indexer)
        query: dict[str, Any] = {"suffix": list(_SUFFIXES), "extension": [".nii", ".nii.gz"], "datatype": "anat"}
        files = layout.get(**query)
        for file in files:
            file.metadata_cache = file.get_metadata()
    return files


def _entities(file: Any) -> Entities:
    """Return a file's entities but ``echo`` and ``part``, in file-name order."""
    pairs = ((short, _written(file, short)) for short in _ENTITIES.values())
    return tuple((short, value) for short, value in pairs if value is not None)


def _written(file: Any, short: str) -> str | None:
    """Return an entity's value as the file name has it (pybids turns run-01 into 1)."""
    found = re.search(rf"(?:^|_){short}-([A-Za-z0-9+]+)", Path(file.path).name)
    return found.group(1) if found else None


def _run(suffix: str, entities: Entities, files: Sequence[Any]) -> GreRun:
    by_echo: dict[int, dict[str, Any]] = {}
    for file in files:
        number = int(file.entities.get("echo", 1))
        by_echo.setdefault(number, {})[file.entities.get("part", "mag")] = file
    echoes = []
    for number, parts in sorted(by_echo.items()):
        lead = parts.get("phase") or parts.get("real") or next(iter(parts.values()))
        metadata: Mapping[str, Any] = lead.metadata_cache
        paths = {part: Path(file.path) for part, file in parts.items()}
        echoes.append(
            Echo(
                number=number,
                echo_time=metadata.get("EchoTime"),
                magnitude=paths.get("mag"),
                phase=paths.get("phase"),
                real=paths.get("real"),
                imag=paths.get("imag"),
                metadata=dict(metadata),
            )
        )
    first = echoes[0].metadata
    return GreRun(
        subject=dict(entities)["sub"],
        session=dict(entities).get("ses"),
        entities=entities,
        suffix=suffix,
        datatype="anat",
        echoes=tuple(echoes),
        field_strength=first.get("MagneticFieldStrength"),
        b0_dir=tuple(first["B0_dir"]) if "B0_dir" in first else None,
    )
