"""Finds the images of templates: a folder, or a template of TemplateFlow."""

import os
import re
from pathlib import Path

from bids_app.errors import UsageError
from bids_app.model.records import entities_in


def space_files(spec: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return the name and the images of an output space: ``NAME``, or ``NAME:res-2`` for images of that resolution.

    Raises
    ------
    UsageError
        If TemplateFlow's folder does not hold it.
    """
    place, _, resolution = spec.partition(":")
    try:
        return _images_of(place, resolution.removeprefix("res-").lstrip("0"), "is no")
    except UsageError as error:
        text = f"--output-space: {error}; set TEMPLATEFLOW_HOME to the folder that holds it"
        raise UsageError(text) from error


def template_files(place: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return the name of a finished template and its images (``t1w``, ``magnitude``), from a folder or TemplateFlow's.

    Raises
    ------
    UsageError
        If there is no such folder, or no image in it.
    """
    try:
        return _images_of(place, "", "is neither build, none, a folder, nor a")
    except UsageError as error:
        raise UsageError(f"--template: {error}") from error


def _images_of(place: str, resolution: str, unlike: str) -> tuple[str, tuple[tuple[str, Path], ...]]:
    """Return name and images; ``unlike`` begins what is said of a place that is no template."""
    home = Path(os.environ.get("TEMPLATEFLOW_HOME", Path.home() / ".cache" / "templateflow")).expanduser()
    folder = next((path for path in (Path(place), home / f"tpl-{place}") if path.is_dir()), None)
    if folder is None:
        raise UsageError(f"{place!r} {unlike} template in {home}")
    images = sorted(p for p in [*folder.glob("*.nii.gz"), *folder.glob("anat/*.nii.gz")] if p.stat().st_size > 0)
    files: dict[str, Path] = {}
    for name, suffix in (("t1w", "T1w"), ("magnitude", "T2starw")):
        chosen = [path for path in images if path.name.endswith(f"_{suffix}.nii.gz")]
        if resolution:
            chosen = [p for p in chosen if dict(entities_in(p.name)).get("res", "").lstrip("0") == resolution]
        # Our own templates, then images of whole heads, of the finest voxels.
        chosen.sort(key=lambda p: ("desc-template" not in p.name, "desc-" in p.name, "res-01" not in p.name, p.name))
        if chosen:
            files[name] = chosen[0].absolute()
    if not files:
        raise UsageError(f"{folder} holds no *_T1w.nii.gz and no *_T2starw.nii.gz with data")
    label = dict(entities_in(next(iter(files.values())).name)).get("tpl", folder.absolute().name)
    return re.sub(r"[^A-Za-z0-9]", "", label.removeprefix("tpl-")), tuple(files.items())
