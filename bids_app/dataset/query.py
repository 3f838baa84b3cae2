"""Finding the data: the images in the folders of participants, and the runs that they make up."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from bids_app.dataset.coils import coil_files
from bids_app.dataset.entity_names import EntityReader
from bids_app.dataset.pairing import choose_t1w, with_spin_echo
from bids_app.dataset.sidecars import Sidecars
from bids_app.errors import InputRefusedError
from bids_app.model.json_values import JsonObject
from bids_app.model.naming import GRADIENT_ECHOES, GRADIENT_ECHOES_WITH_PHASE, T1_WEIGHTED, is_gradient_echo_phase
from bids_app.model.records import Anatomical, Echo, Entities, GreRun, Subject

_SUFFIXES = "|".join(dict.fromkeys((*GRADIENT_ECHOES, *GRADIENT_ECHOES_WITH_PHASE, *T1_WEIGHTED, "MESE")))
_IMAGE = re.compile(rf"_(?:{_SUFFIXES})\.nii(?:\.gz)?$")
#: So many participants are listed when an unknown one is asked for.
_NAMED = 30

Filter = Mapping[str, object]


def participant_labels(bids_dir: Path) -> list[str]:
    """Return the labels of the participants that have a folder."""
    return sorted(e.name.removeprefix("sub-") for e in os.scandir(bids_dir) if e.is_dir() and e.name.startswith("sub-"))


def misnamed_folders(bids_dir: Path) -> list[str]:
    """Return a sentence for each folder that is called like a participant's but for its letters (``SUB-01``)."""
    return [
        f"{name}: is left out, as BIDS writes sub- in lower case; rename the folder and its files"
        for name in sorted(e.name for e in os.scandir(bids_dir) if e.is_dir())
        if name[:4].lower() == "sub-" and not name.startswith("sub-")
    ]


def find_subjects(
    bids_dir: Path,
    participants: Sequence[str] = (),
    sessions: Sequence[str] = (),
    filters: Mapping[str, Filter] | None = None,
) -> tuple[Subject, ...]:
    """Return the participants (default: all) with their gradient-echo runs, indexing only what is asked for.

    Parameters
    ----------
    bids_dir : Path
        Top folder of the dataset.
    participants, sessions : labels without ``sub-`` and ``ses-``
        T1w images of other sessions are found too: a run may use them.
    filters : mapping, optional
        ``gre``, ``t1w`` and ``mese``: the entities that these images must have (see :func:`matches`).

    Raises
    ------
    InputRefusedError
        If the folder is no BIDS dataset, a JSON file cannot be read, or a participant or a session is unknown.
    """
    known = _known_participants(bids_dir, participants)
    filters = filters or {}
    groups: dict[tuple[str, Entities], list[_File]] = {}
    images: list[Anatomical] = []
    seen = set()
    sidecars = Sidecars(bids_dir)
    for file in _image_files(bids_dir, participants or known, sidecars):
        entities, suffix = file.run_entities, file.entities["suffix"]
        visit = dict(entities).get("ses")
        seen.add(visit)
        is_t1w = suffix in T1_WEIGHTED and "part" not in file.entities
        if is_t1w and matches(file.entities, filters.get("t1w", {})):
            images.append(Anatomical(file.path, file.entities["subject"], visit, entities, suffix))
        if suffix == "UNIT1":
            continue
        wanted = not sessions or visit in sessions
        kind = "mese" if suffix == "MESE" else "gre"
        if wanted and matches(file.entities, filters.get(kind, {})):
            groups.setdefault((suffix, entities), []).append(file)
    if sidecars.problems:
        raise InputRefusedError(list(dict.fromkeys(sidecars.problems)))
    missing = [label for label in sessions if label not in seen]
    if missing:
        listed = ", ".join(sorted(label for label in seen if label)) or "none"
        text = "session {!r} is not in this selection; there are: {}"
        raise InputRefusedError([text.format(label, listed) for label in missing])
    every = [_run(*key, groups[key]) for key in sorted(groups, key=str)]
    if "echo" in filters.get("gre", {}):
        every = [replace(run, has_chosen_echoes=run.suffix != "MESE") for run in every]
    trains = [run for run in every if run.suffix == "MESE"]
    runs = [with_spin_echo(run, trains) for run in every if run.suffix != "MESE"]
    subjects = []
    runs_of, t1w_of = defaultdict[str, list[GreRun]](list), defaultdict[str, list[Anatomical]](list)
    for run in runs:
        runs_of[run.subject].append(run)
    for image in images:
        t1w_of[image.subject].append(image)
    for label in participants or known:
        mine, t1w = [run for run in runs_of[label] if _is_gradient_echo(run)], tuple(t1w_of[label])
        subjects.append(Subject(label, tuple(_with_t1w(run, t1w) for run in mine), t1w))
    return tuple(subjects)


def _known_participants(bids_dir: Path, participants: Sequence[str]) -> list[str]:
    if not (bids_dir / "dataset_description.json").is_file():
        raise InputRefusedError(
            [f"{bids_dir} has no dataset_description.json: give the top folder of a BIDS dataset as the first argument"]
        )
    known = participant_labels(bids_dir)
    missing = [label for label in participants if label not in known]
    if missing:
        listed = ", ".join(known[:_NAMED]) or "none"
        listed += f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        problems = []
        for label in missing:
            near = get_close_matches(label, known, 3)
            hint = f"; the nearest: {', '.join(near)}" if near and len(known) > _NAMED else ""
            problems.append(f"participant {label!r} is not in the dataset; there are: {listed}{hint}")
        raise InputRefusedError(problems)
    return known


def matches(entities: Mapping[str, object], wanted: Filter) -> bool:
    """Return whether a file's entities are those that a filter asks for.

    A filter maps names of entities (``acquisition``, ``run``, ``suffix`` ...) to a value, ``null`` (the entity must
    be absent), a list of these, or ``"*"`` (it must be there).
    """
    for name, value in wanted.items():
        given = entities.get(name)
        if value is None:
            if given is not None:
                return False
        elif value == "*":
            if given is None:
                return False
        else:
            values = value if isinstance(value, list) else [value]
            if not any(
                given is None if choice is None else given is not None and _same(given, choice) for choice in values
            ):
                return False
    return True


def _same(given: object, wanted: object) -> bool:
    # run-01, "01" and 1 are one run.
    first, second = str(given), str(wanted)
    return first == second or (first.isdecimal() and second.isdecimal() and int(first) == int(second))


def _is_gradient_echo(run: GreRun) -> bool:
    # Without a phase a T1w is an anatomical image, and MPM, VFA and MP2RAGE are nothing that we reconstruct.
    if run.suffix not in GRADIENT_ECHOES_WITH_PHASE:
        return True
    return any(is_gradient_echo_phase(path.name) for echo in run.echoes for path in (echo.phase, echo.real) if path)


def _with_t1w(run: GreRun, images: Sequence[Anatomical]) -> GreRun:
    image, sentence = choose_t1w(run, images)
    return replace(run, t1w=image, t1w_choice=sentence)


@dataclass(frozen=True)
class _File:
    """An image with its entities and its inherited metadata."""

    path: Path
    entities: Mapping[str, str]  # by the names that filters use
    run_entities: Entities
    metadata: JsonObject
    notes: tuple[str, ...] = ()


def _image_files(bids_dir: Path, labels: Sequence[str], sidecars: Sidecars) -> Iterator[_File]:
    """Give the images of participants, by the names in their folders ``anat``.

    A pybids layout of 10,000 participants takes many minutes, most of them for its database; we look at each file once.
    """
    reader = EntityReader()
    for label in labels:
        home = bids_dir / f"sub-{label}"
        names = {entry.name for entry in os.scandir(home) if entry.is_dir()}
        visits = [f"{name}/anat" for name in sorted(names) if name.startswith("ses-")]
        for visit in (*(["anat"] if "anat" in names else []), *visits):
            folder = home / visit
            if visit != "anat" and not folder.is_dir():
                continue
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names alone, ten times as fast as paths
                if _IMAGE.search(name) and name.startswith(f"sub-{label}_"):
                    entities, of_run = reader.read(label, visit, name)
                    metadata, notes = sidecars.read(folder, name)
                    yield _File(folder / name, entities, of_run, metadata, notes)


def _run(suffix: str, entities: Entities, files: Sequence[_File]) -> GreRun:
    of_coils = coil_files(file.path for file in files)
    others = {path for paths in of_coils.values() for path in paths[1:]}
    by_echo, clashes = _by_echo([file for file in files if file.path not in others])
    echoes = []
    for number, parts in by_echo.items():
        lead = parts.get("phase") or parts.get("real") or next(iter(parts.values()))
        metadata = lead.metadata
        paths = {part: file.path for part, file in parts.items()}
        echoes.append(
            Echo(
                number=number,
                echo_time=metadata.get("EchoTime"),
                magnitude=paths.get("mag"),
                phase=paths.get("phase"),
                real=paths.get("real"),
                imag=paths.get("imag"),
                metadata=dict(metadata),
                magnitude_echo_time=parts["mag"].metadata.get("EchoTime") if "mag" in parts else None,
                coil_files=tuple(of_coils[path] for path in paths.values() if path in of_coils),
            )
        )
    echoes.sort(key=lambda echo: (echo.echo_time if isinstance(echo.echo_time, float | int) else 0.0, echo.number))
    first = echoes[0].metadata
    b0_dir = first.get("B0_dir")
    return GreRun(
        subject=dict(entities)["sub"],
        session=dict(entities).get("ses"),
        entities=entities,
        suffix=suffix,
        datatype="anat",
        echoes=tuple(echoes),
        field_strength=first.get("MagneticFieldStrength"),
        b0_dir=tuple(b0_dir) if isinstance(b0_dir, list) else None if b0_dir is None else (b0_dir,),
        clashes=clashes,
        remarks=tuple(dict.fromkeys(note for file in files for note in file.notes)),
    )


def _by_echo(files: Sequence[_File]) -> tuple[dict[int, dict[str, _File]], tuple[tuple[str, str], ...]]:
    """Return files by echo and part, and pairs of names that cannot be distinguished."""
    by_echo: dict[int, dict[str, _File]] = {}
    clashes = []
    for file in sorted(files, key=lambda file: str(file.path)):
        parts = by_echo.setdefault(int(file.entities.get("echo", 1)), {})
        other = parts.setdefault(file.entities.get("part", ""), file)
        if other is not file:
            clashes.append((other.path.name, file.path.name))
    for parts in by_echo.values():
        plain = parts.pop("", None)  # a magnitude may go without its part
        if plain is not None and "mag" not in parts:
            parts["mag"] = plain
        elif plain is not None and plain.entities["suffix"] != "T1w":
            clashes.append((plain.path.name, parts["mag"].path.name))
    return dict(sorted(by_echo.items())), tuple(clashes)
