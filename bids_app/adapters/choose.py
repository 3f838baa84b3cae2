"""Which segmentations a command will make, decided once, before anything runs."""

from collections.abc import Sequence
from pathlib import Path

from bids_app.adapters import atlas, existing, fastsurfer
from bids_app.errors import ToolMissingError, UsageError
from bids_app.qsm.params import nearest

#: Segmentations of T1w images by fMRIPrep and its like, the finest first; their tables lie in the dataset's top folder.
_SEGMENTED = ("anat/*_desc-aparcaseg_dseg.nii.gz", "anat/*_desc-aseg_dseg.nii.gz")
METHODS = ("fastsurfer", "atlas", "none", "auto")


def resolve(
    which: Sequence[str], atlas_spec: str, home: str, derivatives: Sequence[Path], python: str = ""
) -> tuple[tuple[str, ...], str, str]:
    """Return the words of ``--segmentation`` and the atlas that will be used, and a warning (empty: none).

    ``auto`` is what a derivative dataset has: FastSurfer's outputs, or fMRIPrep's segmentation. Else it is FastSurfer
    where it is installed, else the atlas that was named, else TemplateFlow's default where its files are here, else
    nothing, with a warning. A named atlas is used in addition to the others.

    Raises
    ------
    UsageError
        For a word that is no method and no pattern, or ``none`` together with others.
    ToolMissingError
        If FastSurfer or an atlas was asked for by name and is not here, or FastSurfer's Python (``python``, see
        :func:`bids_app.adapters.fastsurfer.python_of`) cannot run it.
    """
    asked = tuple(dict.fromkeys(which))
    for word in asked:
        if word not in METHODS and not existing.is_pattern(word):
            raise UsageError(
                f"--segmentation: {word!r} is no method and no pattern of files ({nearest(word, list(METHODS))})"
            )
    if "none" in asked:
        if len(asked) > 1:
            raise UsageError("--segmentation: none cannot be combined with others")
        return ("none",), "", ""
    place = Path(home) if home else None
    warning = ""
    if not asked or "auto" in asked:
        asked, atlas_spec, warning = _automatic(asked, atlas_spec, place, derivatives)
    if "fastsurfer" in asked and not _outputs_in(derivatives):
        fastsurfer.check_python(fastsurfer.require(place), python)
    if "atlas" in asked:
        chosen = atlas_spec or atlas.default()
        if chosen is None:
            raise ToolMissingError(
                "--segmentation atlas: no atlas was found: name a folder with --atlas DIR, or let TEMPLATEFLOW_HOME "
                f"hold tpl-{atlas.DEFAULT_TEMPLATE} with labels, or use --segmentation fastsurfer or none"
            )
        atlas_spec = chosen
        atlas.find(atlas_spec)
    else:
        atlas_spec = ""
    return asked or ("none",), atlas_spec, warning


def _automatic(
    asked: tuple[str, ...], atlas_spec: str, home: Path | None, derivatives: Sequence[Path]
) -> tuple[tuple[str, ...], str, str]:
    others = tuple(word for word in asked if word != "auto")
    if home is not None:
        fastsurfer.require(home)  # whoever names its folder wants it
    sources: tuple[str, ...] = ()
    if _outputs_in(derivatives):
        sources = ("fastsurfer",)
    elif home is None and (pattern := _segmented_in(derivatives)):
        sources = (pattern,)
    elif fastsurfer.find_script(home) is not None:
        sources = ("fastsurfer",)
    if atlas_spec:
        sources += ("atlas",)
    elif not sources and (name := atlas.default()) is not None:
        sources, atlas_spec = ("atlas",), name
    if sources or others:
        return (*sources, *others), atlas_spec, ""
    return (
        (),
        "",
        (
            "neither FastSurfer nor an atlas was found: maps are made without regions "
            "(--atlas DIR or --fastsurfer-home DIR gives them, --segmentation none silences this)"
        ),
    )


def _outputs_in(folders: Sequence[Path]) -> bool:
    """Return whether a derivative dataset holds FastSurfer's outputs of anyone."""
    return any(next(folder.glob("*/**/mri/aparc.DKTatlas+aseg.deep.mgz"), None) for folder in folders)


def _segmented_in(folders: Sequence[Path]) -> str:
    """Return the pattern of the segmentations that a derivative dataset has of its T1w images, empty: none."""
    return next((p for p in _SEGMENTED for folder in folders if next(folder.glob(f"sub-*/**/{p}"), None)), "")


def check_names(atlas_spec: str, patterns: Sequence[tuple[str, str]]) -> None:
    """Check that no two segmentations would have one name in our files.

    Raises
    ------
    UsageError
        Naming the name.
    """
    names = ["fastsurfer"]
    if atlas_spec:
        names += [name for name, *_ in atlas.find(atlas_spec).segmentations]
    names += [existing.name_of(pattern, kind) for kind, pattern in patterns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"two segmentations would be called seg-{twice[0]} in the output: rename one (seg-, label- or desc- in "
            "its pattern), or pick one of the atlas's by --atlas DIR:NAME"
        )
