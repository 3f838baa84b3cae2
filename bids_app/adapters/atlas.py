"""Atlases: a T1-weighted template, label images on its grid and their tables, from a folder or from TemplateFlow."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bids_app.errors import ToolMissingError, UsageError

#: Used when TemplateFlow's folder holds it and nothing else was asked for.
DEFAULT_TEMPLATE = "MNI152NLin2009cAsym"
_IMAGE = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Atlas:
    """Files of an atlas; all images lie on one grid in the template's space."""

    name: str
    t1w: Path
    #: Segmentations by name (their ``seg`` or ``atlas`` entity): label image and table.
    segmentations: tuple[tuple[str, Path, Path], ...]
    brain_mask: Path | None = None


def entities_of(path: Path) -> dict[str, str]:
    """Return the entities in a file's name; the suffix is ``suffix``."""
    *pairs, suffix = path.name.split(".", 1)[0].split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return entities | {"suffix": suffix}


@lru_cache(maxsize=8)
def find(spec: str) -> Atlas:
    """Return the atlas that ``DIR``, ``DIR:SEGMENTATION``, ``NAME`` or ``NAME:SEGMENTATION`` means.

    Files of zero bytes (TemplateFlow's placeholders) are no data.

    Raises
    ------
    UsageError
        If a folder holds no complete atlas, or the segmentation is not among those that are there.
    ToolMissingError
        If TemplateFlow has no such template here and cannot fetch it.
    """
    place, _, wanted = spec.rpartition(":") if ":" in spec and not Path(spec).is_dir() else (spec, "", "")
    folder = Path(place).expanduser()
    if folder.is_dir():
        return _from_files(folder.resolve().name, _files(folder), wanted, str(folder))
    if os.sep in place or place.startswith("."):
        raise UsageError(f"--atlas: {place} is no folder")
    return _from_templateflow(place, wanted)


def templateflow_home() -> Path:
    """Return where TemplateFlow keeps its files."""
    return Path(os.environ.get("TEMPLATEFLOW_HOME", Path.home() / ".cache" / "templateflow")).expanduser()


def default() -> str | None:
    """Return the default template's name when its files are here with labels, else None."""
    folder = templateflow_home() / f"tpl-{DEFAULT_TEMPLATE}"
    # Placeholders do not count, and are not fetched either: each element of an array would ask the network.
    if not folder.is_dir() or not any(path.name.endswith(_IMAGE) for path in _files(folder)):
        return None
    try:
        find(DEFAULT_TEMPLATE)
    except (UsageError, ToolMissingError):
        return None
    return DEFAULT_TEMPLATE


def _files(folder: Path) -> list[Path]:
    inner = folder / "anat"
    paths = [p for place in (folder, inner) if place.is_dir() for p in sorted(place.iterdir())]
    return [path for path in paths if path.is_file() and path.stat().st_size > 0]


def _from_files(name: str, files: Iterable[Path], wanted: str, origin: str) -> Atlas:
    files = list(files)
    images = [path for path in files if path.name.endswith(_IMAGE)]
    heads = sorted((p for p in images if entities_of(p)["suffix"] == "T1w"), key=_preference)
    if not heads:
        raise UsageError(f"--atlas: {origin} holds no *_T1w.nii.gz with data")
    resolution = entities_of(heads[0]).get("res")
    same = [p for p in images if entities_of(p).get("res", resolution) == resolution]
    labelled = {}
    for path in same:
        entities = entities_of(path)
        if entities["suffix"] == "dseg" and (table := _table_for(path, files)) is not None:
            labelled[_label(entities)] = (path, table)
    if wanted:
        if wanted not in labelled:
            choices = ", ".join(labelled) or "none"
            raise UsageError(f"--atlas: {origin} has no segmentation {wanted!r} with a table; there are: {choices}")
        labelled = {wanted: labelled[wanted]}
    if not labelled:
        raise UsageError(f"--atlas: {origin} holds no *_dseg.nii.gz with data and a *_dseg.tsv that names its labels")
    masks = [p for p in same if entities_of(p)["suffix"] == "mask" and entities_of(p).get("desc") == "brain"]
    chosen = tuple((label, *paths) for label, paths in sorted(labelled.items()))
    plain = re.sub(r"[^A-Za-z0-9]", "", name.removeprefix("tpl-")) or "atlas"
    return Atlas(plain, heads[0], chosen, masks[0] if masks else None)


def _preference(path: Path) -> tuple[bool, bool, str]:
    """Whole heads before skull-stripped ones, 1 mm before other resolutions."""
    entities = entities_of(path)
    return "desc" in entities, entities.get("res", "1").lstrip("0") != "1", path.name


def _label(entities: dict[str, str]) -> str:
    parts = (entities.get("seg") or entities.get("atlas", ""), entities.get("desc", ""), entities.get("scale", ""))
    return re.sub(r"[^A-Za-z0-9]", "", "".join(parts)) or "atlas"


def _table_for(image: Path, files: Iterable[Path]) -> Path | None:
    """Return the most specific ``dseg.tsv`` all of whose entities the image has too."""
    entities = entities_of(image)
    tables = [p for p in files if p.suffix == ".tsv" and entities_of(p).items() <= entities.items()]
    return max(tables, key=lambda path: len(entities_of(path)), default=None)


def _from_templateflow(template: str, wanted: str) -> Atlas:
    folder = templateflow_home() / f"tpl-{template}"
    if not folder.is_dir() or not any(p.name.endswith(_IMAGE) for p in _files(folder)):
        _fetch(template, wanted)
    where = f"TemplateFlow's {template} ({folder})"
    atlas = _from_files(template, _files(folder), wanted, where)
    if len(atlas.segmentations) > 1 and not wanted:
        names = ", ".join(name for name, *_ in atlas.segmentations)
        raise UsageError(f"--atlas: {where} has several segmentations; choose one, --atlas {template}:NAME of {names}")
    return atlas


def _fetch(template: str, wanted: str) -> None:
    """Ask TemplateFlow for the files, which needs the network once."""
    try:
        from templateflow import api

        query = {"atlas": wanted} if wanted else {}
        images = [
            api.get(template, resolution=1, suffix="T1w", desc=None),
            api.get(template, resolution=1, suffix="dseg", extension=".nii.gz", **query),
            api.get(template, suffix="dseg", extension=".tsv", **query),
        ]
    except Exception as error:  # no network shows in many ways: requests', urllib's and datalad's errors
        raise ToolMissingError(
            f"the atlas {template!r} is neither a folder nor in TemplateFlow's folder {templateflow_home()}, and "
            f"cannot be fetched ({type(error).__name__}): give a folder by --atlas DIR, set TEMPLATEFLOW_HOME, or run "
            "without regions (--segmentation none)"
        ) from error
    if not all(images):
        raise UsageError(f"--atlas: TemplateFlow has no template {template!r} with T1w and labels at 1 mm")
