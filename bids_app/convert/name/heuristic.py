"""Heuristics as heudiconv knows them: found by name or file, asked in process for the name of every series."""

import importlib.util
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import bids_app
from bids_app.convert.classify import series as series_module
from bids_app.convert.classify.series import Series
from bids_app.errors import RunFailedError, UsageError

#: Entities that may follow ``part-`` in a file name; everything else comes before it.
_AFTER_PART = ("proc", "hemi", "space", "split", "recording", "chunk", "res", "den", "label", "desc")
_AFTER_COIL = ("flip", "inv", "mt", "part", *_AFTER_PART)
_AFTER_ECHO = ("coil", *_AFTER_COIL)
_AFTER_RUN = ("mod", "echo", *_AFTER_ECHO)


@dataclass(frozen=True)
class Heuristic:
    """A loaded heuristic."""

    name: str
    path: Path
    module: ModuleType


def heuristics_dir() -> Path:
    """Return the folder of the heuristics that come with the app (inside the package once it is installed)."""
    package = Path(bids_app.__file__).parent
    inside = package / "heuristics"
    return inside if inside.is_dir() else package.parent / "heuristics"


def load_heuristic(name_or_file: str) -> Heuristic:
    """Load a heuristic that comes with the app, by name, or any heudiconv heuristic, by file.

    Raises UsageError when there is none, or when it cannot be imported or has no ``infotodict``.
    """
    given = Path(name_or_file)
    path = given if given.suffix == ".py" else heuristics_dir() / f"{name_or_file}.py"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in heuristics_dir().glob("*.py")))
        raise UsageError(f"There is no heuristic {name_or_file!r}: give a file or one of {known}.")
    spec = importlib.util.spec_from_file_location(f"qsm_heuristic_{path.stem}", path.resolve())
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own file raises
        raise UsageError(f"The heuristic {path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(getattr(module, "infotodict", None)):
        raise UsageError(f"The heuristic {path} has no function infotodict(seqinfo).")
    return Heuristic(path.stem, path.resolve(), module)


def assign(heuristic: Heuristic, series: Sequence[Series], subject: str, session: str | None) -> dict[str, list[str]]:
    """Ask the heuristic for names; returns paths without extension (``sub-1/anat/sub-1_run-1_MEGRE``) by series UID.

    Raises RunFailedError when the heuristic itself fails.
    """
    seqinfo, by_id = [], {}
    total = 0
    for index, item in enumerate(series, start=1):
        if _is_filtered(heuristic.module, item):
            continue
        total += len(item.instances)
        info = _seqinfo(heuristic.module, item, f"{index:04d}-{item.facts.protocol or item.facts.description}", total)
        seqinfo.append(info)
        by_id[info.series_id] = item.facts.uid
    try:
        named = heuristic.module.infotodict(seqinfo)
    except Exception as error:  # whatever the user's own function raises
        reason = f"the heuristic {heuristic.name} failed in infotodict: {type(error).__name__}: {error}"
        raise RunFailedError(reason) from error
    paths: dict[str, list[str]] = {}
    for key, items in named.items():
        if not any(kind.startswith("nii") for kind in key[1]):
            continue
        for number, entry in enumerate(items, start=1):
            for path, series_id in _expand(key[0], entry, number, subject, session):
                paths.setdefault(by_id[series_id], []).append(path)
    return paths


def _expand(template: str, entry: Any, number: int, subject: str, session: str | None) -> list[tuple[str, str]]:
    """Fill the placeholders of a template as heudiconv does; an entry is a series id, a list of them or a mapping."""
    paths = []
    for sub_number, item in enumerate(entry if isinstance(entry, list) else [entry], start=1):
        values: dict[str, Any] = dict(item) if isinstance(item, dict) else {"item": item}
        series_id = values.pop("item")
        ses = f"ses-{session}" if session else ""
        values.update(
            item=number,
            subindex=sub_number,
            subject=subject,
            seqitem=series_id,
            session=ses or "ses-None",
            bids_subject_session_prefix=f"sub-{subject}" + (f"_{ses}" if ses else ""),
            bids_subject_session_dir=f"sub-{subject}" + (f"/{ses}" if ses else ""),
        )
        paths.append((template.format(**values), series_id))
    return paths


def _is_filtered(module: ModuleType, item: Series) -> bool:
    """Apply ``filter_files`` and ``filter_dicom`` of a heuristic to the first file of a series."""
    import pydicom

    path = min(i.path for i in item.instances)
    by_file, by_content = getattr(module, "filter_files", None), getattr(module, "filter_dicom", None)
    if callable(by_file) and not by_file(str(path)):
        return True
    return bool(callable(by_content) and by_content(pydicom.dcmread(path, stop_before_pixels=True, force=True)))


def _seqinfo(module: ModuleType, item: Series, series_id: str, total: int) -> Any:
    """Make the record that heudiconv hands to heuristics, from what has been read already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from heudiconv.utils import SeqInfo
    facts, first = item.facts, min(item.instances, key=lambda i: i.path)
    values = first.values
    return SeqInfo(
        total_files_till_now=total,
        example_dcm_file=first.path.name,
        series_id=series_id,
        dcm_dir_name=first.path.parent.name,
        series_files=len(item.instances),
        unspecified="",
        dim1=values["rows"],
        dim2=values["columns"],
        dim3=facts.slices if facts.mixed_files or values["enhanced"] else len(item.instances),
        dim4=len(facts.volumes) if values["enhanced"] else 1,
        TR=(facts.tr or -1000.0) / 1000,
        TE=facts.echo_times[0] if facts.echo_times else -1.0,
        protocol_name=facts.protocol,
        is_motion_corrected="MOCO" in facts.tokens,
        is_derived="DERIVED" in facts.tokens,
        patient_id=values["patient_id"],
        study_description=values["study_description"],
        referring_physician_name="",
        series_description=facts.description,
        sequence_name=facts.sequence,
        image_type=values["image_type"],
        accession_number=values["accession_number"],
        patient_age=values["age"],
        patient_sex=values["sex"],
        date=facts.date_time[:8],
        series_uid=facts.uid,
        time=facts.date_time[8:],
        custom=_custom(module, item),
    )


def _custom(module: ModuleType, item: Series) -> Any:
    function = getattr(module, "custom_seqinfo", None)
    if function is None:
        return None
    if function is series_module.custom_seqinfo:
        return item.facts  # no need to read the files again
    files = sorted(str(i.path) for i in item.instances)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nibabel.nicom.dicomwrappers as wrappers

        return function(wrapper=wrappers.wrapper_from_file(files[0], force=True), series_files=files)


def add_entity(path: str, key: str, value: str) -> str:
    """Insert ``_key-value`` in a path without extension at its place in the order of BIDS; replaces an old value."""
    folder, _, name = path.rpartition("/")
    *entities, suffix = name.split("_")
    entities = [e for e in entities if not e.startswith(f"{key}-")]
    after = {"part": _AFTER_PART, "coil": _AFTER_COIL, "echo": _AFTER_ECHO, "run": _AFTER_RUN}[key]
    place = next((i for i, e in enumerate(entities) if e.split("-")[0] in after), len(entities))
    entities.insert(place, f"{key}-{value}")
    return (f"{folder}/" if folder else "") + "_".join([*entities, suffix])


def get_entity(path: str, key: str) -> str | None:
    """Return the value of an entity in a path without extension, or None."""
    match = re.search(rf"_{key}-([A-Za-z0-9]+)(?=_)", path.rpartition("/")[2])
    return match.group(1) if match else None


def environment_paths() -> tuple[Path, Path]:
    """Return the folder of this interpreter's scripts and the folder from which ``bids_app`` is imported."""
    return Path(sys.executable).parent, Path(bids_app.__file__).resolve().parent.parent
