"""What other datasets (``--derivatives``) have for a gradient-echo run: a mask, and maps that stand for steps of it."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids_app.dataset.images import look_at
from bids_app.derivatives.affines import same_place
from bids_app.derivatives.names import sidecar_path
from bids_app.model.naming import entities_in
from bids_app.model.records import GivenMap, GivenMask, GreRun
from bids_app.qsm.units import FIELD_UNITS

#: ``desc`` labels of masks in order of preference; those of other descriptions come after them, by name.
_PREFERRED = ("brain", "")
#: Masks of our own that are no masks of the object.
_OTHERS = ("reliable", "qsm", "processing", "r2prime")
#: Values of ``space`` that mean the T1w image.
_T1W_SPACES = ("t1w", "t1", "orig")
#: Brain masks in a folder of FreeSurfer or FastSurfer, in order of preference; they lie in the space of the T1w image.
_FREESURFER = ("mri/mask.mgz", "mri/brainmask.mgz")
#: Where fMRIPrep keeps FreeSurfer's folders.
_INSIDE = (".", "sourcedata/freesurfer", "freesurfer")
MASK = "mask"


@dataclass(frozen=True)
class MapKind:
    """Maps of one product: how their files are named, and the units that are understood.

    ``default`` is the unit of a map whose sidecar has none; empty: the sidecar must say it.
    """

    product: str
    title: str
    suffix: str
    descs: tuple[str, ...]
    units: tuple[str, ...]
    default: str = ""


_RATES = ("1/s", "Hz", "s^-1")
KINDS = {
    kind.product: kind
    for kind in (
        MapKind("total_field", "total field", "fieldmap", ("", "total"), FIELD_UNITS),
        MapKind("local_field", "local field", "fieldmap", ("local", "tissue"), FIELD_UNITS),
        MapKind("chimap", "susceptibility map", "Chimap", ("",), ("ppm", "ppb")),
        MapKind("r2star", "R2*", "R2starmap", ("",), _RATES, "1/s"),
        MapKind("r2", "R2", "R2map", ("",), _RATES, "1/s"),
        MapKind("r2prime", "R2'", "R2map", ("R2prime",), _RATES, "1/s"),
        MapKind("fibre_angle", "fibre angle", "anglemap", ("fibre",), ("rad",), "rad"),
    )
}
#: What ``--derivatives-use`` chooses from.
USES = (MASK, *KINDS)


def with_given(run: GreRun, folders: Sequence[Path], own: Path, uses: Collection[str] = USES) -> GreRun:
    """Return the run with what other datasets have for it, and a remark about each.

    Parameters
    ----------
    run : GreRun
    folders : sequence of paths
        Derivative datasets; the first one that has a mask or a map wins.
    own : Path
        Folder of the command's own outputs, whose maps are no input of it (a corrected mask is).
    uses : collection of str
        Of :data:`USES`, what is looked for.
    """
    if MASK in uses:
        run = with_given_mask(run, folders)
    others = [folder for folder in folders if folder.resolve() != own.resolve()]
    return with_given_maps(run, others, [name for name in KINDS if name in uses])


def with_given_mask(run: GreRun, folders: Sequence[Path]) -> GreRun:
    """Return the run with the mask that the first of the datasets has for it, and a remark about it.

    A mask belongs to a run when its subject and session are the run's, and no other entity of the run (``acq``,
    ``rec``, ``run`` ...) contradicts. One on the run's grid comes first; else a brain mask of ``anat/`` (fMRIPrep) or
    of FreeSurfer is brought to the run: through the T1w image where there is one, else by the headers. Masks of tissues
    (``label``) are left alone.
    """
    remarks, elsewhere = [], []
    for folder in folders:
        for path in _candidates(run, folder):
            state = look_at(path, is_phase=False)
            if state.problem:
                remarks.append(state.problem)
            elif on_grid(run, state.shape, state.affine):
                text = f"mask {path.name} of {folder} is used instead of a computed one"
                return replace(run, given_mask=GivenMask(path), remarks=(*run.remarks, text))
            elif _is_of_anatomy(path):
                elsewhere.append((folder, path))
            else:
                remarks.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
        elsewhere += [(folder, path) for path in _of_freesurfer(run, folder)]
    for folder, path in elsewhere:
        space = dict(entities_in(path.name)).get("space", "T1w")
        if space.lower() not in _T1W_SPACES:
            remarks.append(f"{path.name} of --derivatives is not used: it lies in the space {space}")
            continue
        through, how = "t1w", "the registration of the T1w image"
        if run.t1w is None:
            through, how = "headers", "the headers alone (there is no T1w image)"
        text = f"mask {path.name} of {folder} is used instead of a computed one; it comes to the run's grid by {how}"
        return replace(run, given_mask=GivenMask(path, through), remarks=(*run.remarks, text))
    return replace(run, remarks=(*run.remarks, *remarks))


def _homes(run: GreRun, folder: Path) -> list[Path]:
    """Return the folders of a run's participant: of the session first, then those of all sessions (T1w templates)."""
    subject = folder / f"sub-{run.subject}"
    return [subject / f"ses-{run.session}", subject] if run.session else [subject]


def _candidates(run: GreRun, folder: Path) -> list[Path]:
    patterns = ("*/*_mask.nii", "*/*_mask.nii.gz")
    return [
        path
        for home in _homes(run, folder)
        for path in sorted({path for pattern in patterns for path in home.glob(pattern)}, key=_order)
        if _belongs(run, path)
    ]


def _of_freesurfer(run: GreRun, folder: Path) -> Iterator[Path]:
    """Yield the brain mask in FreeSurfer's folder of the participant, of the session first."""
    names = [f"sub-{run.subject}_ses-{run.session}"] if run.session else []
    for inside in _INSIDE:
        for name in (*names, f"sub-{run.subject}"):
            paths = (folder / inside / name / file for file in _FREESURFER)
            path = next((path for path in paths if path.is_file()), None)
            if path is not None and not look_at(path, is_phase=False).problem:
                yield path
                return


def _is_of_anatomy(path: Path) -> bool:
    """Return whether a mask is the brain's on an anatomical image: a mask of functional images is none."""
    entities = dict(entities_in(path.name))
    return path.parent.name == "anat" and entities.get("desc", "") in _PREFERRED


def _belongs(run: GreRun, path: Path) -> bool:
    entities, own = dict(entities_in(path.name)), dict(run.entities)
    if "label" in entities or entities.get("desc", "") in _OTHERS:
        return False
    shared = (*own, "ses", "acq", "ce", "rec", "dir", "run")
    return entities.get("sub") == run.subject and all(
        entities[key] == own.get(key) for key in shared if key in entities
    )


def _order(path: Path) -> tuple[int, str]:
    desc = dict(entities_in(path.name)).get("desc", "")
    return (_PREFERRED.index(desc) if desc in _PREFERRED else len(_PREFERRED), path.name)


def on_grid(run: GreRun, shape: tuple[int, ...], affine: Any) -> bool:
    """Return whether an image of this shape and affine lies on the run's grid."""
    echo = run.echoes[0]
    own = look_at(next(path for path in (echo.phase, echo.real, echo.magnitude) if path is not None), False, run.coils)
    return not own.problem and own.shape == shape and same_place(own.affine, affine, shape)


def with_given_maps(run: GreRun, folders: Sequence[Path], products: Collection[str] = tuple(KINDS)) -> GreRun:
    """Return the run with the maps that the first of the datasets has for it: fields, susceptibility, relaxation.

    :data:`KINDS` has their names and units. A map belongs to a run as a mask does (:func:`with_given_mask`), and lies
    on its grid. A map that the run has already (a field map of the dataset itself) stays.
    """
    found = {given.product: given for given in run.given_maps}
    remarks = []
    for kind in (KINDS[product] for product in products):
        for path in (path for folder in folders for path in _maps(run, folder, kind)):
            state = look_at(path, is_phase=False)
            if state.problem:
                remarks.append(state.problem)
            elif not on_grid(run, state.shape, state.affine):
                remarks.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
            elif kind.product not in found:
                found[kind.product] = GivenMap(kind.product, path, units_of(kind, _content(path)))
                remarks.append(f"{path.name} of {path.parent} is used as the {kind.title} of the run")
    return replace(run, given_maps=tuple(found.values()), remarks=(*run.remarks, *remarks))


def units_of(kind: MapKind, sidecar: dict[str, Any]) -> str:
    """Return the unit by a sidecar, as :class:`MapKind` spells it; one that is not understood stays as it is."""
    said = str(sidecar.get("Units", kind.default)).strip()
    return next((unit for unit in kind.units if unit.lower() == said.lower()), said)


def _content(path: Path) -> dict[str, Any]:
    """Return the sidecar of a map; empty where there is none, or it cannot be read (then its unit is missing)."""
    try:
        content = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _maps(run: GreRun, folder: Path, kind: MapKind) -> list[Path]:
    home = _homes(run, folder)[0]
    paths = [path for end in (".nii", ".nii.gz") for path in home.glob(f"*/*_{kind.suffix}{end}")]
    return sorted(
        path for path in paths if _belongs(run, path) and dict(entities_in(path.name)).get("desc", "") in kind.descs
    )


def given_units(run: GreRun) -> Iterator[str]:
    """Maps of other datasets have a unit that is understood."""
    for given in run.given_maps:
        kind = KINDS[given.product]
        if given.units in kind.units:
            continue
        what = f'"Units" is {given.units!r}' if given.units else 'there is no "Units"'
        yield (
            f"{given.path.name}: {what} in its JSON sidecar {sidecar_path(given.path).name}; set it to one of "
            f"{', '.join(kind.units)}, or leave this {kind.title} out (--derivatives-use)"
        )
