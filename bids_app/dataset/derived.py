"""What other datasets (``--derivatives``) have for a gradient-echo run: a mask and maps of relaxation in its space."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_app.dataset.images import look_at
from bids_app.derivatives.affines import same_place
from bids_app.model.records import GreRun

#: ``desc`` labels of brain masks in order of preference. A mask of another description may be one of lesions: it is
#: used only where its label is asked for.
_PREFERRED = ("brain", "")
_IS_MASK = re.compile(r"_mask\.nii(\.gz)?$")
#: So many masks that were nearly used are named.
_NAMED = 3
#: Masks of our own that are no masks of the object.
_OTHERS = ("reliable", "qsm")


def with_given_mask(run: GreRun, folders: Sequence[Path], desc: str = "") -> GreRun:
    """Return the run with the mask that the first of the datasets has for it, and a remark about it.

    A mask belongs to a run when its subject and session are the run's, no other entity of the run (``acq``, ``rec``,
    ``run`` ...) contradicts, and it lies on the run's grid. Its ``desc`` is ``brain``, or it has none; or it is the one
    that is asked for. Masks of tissues (``label``) are left alone. Where no mask is used, the remarks name those that
    nearly were.
    """
    wanted = (desc,) if desc else _PREFERRED
    elsewhere, near = [], []
    for folder in folders:
        near += list(_nearly(run, folder, wanted))
        for path in _candidates(run, folder, wanted):
            state = look_at(path, is_phase=False)
            if state.problem:
                elsewhere.append(state.problem)
            elif not _on_grid(run, state.shape, state.affine):
                elsewhere.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
            else:
                text = f"mask {path.name} of {folder} is used instead of a computed one"
                return replace(run, given_mask=path, remarks=(*run.remarks, text))
    return replace(run, remarks=(*run.remarks, *elsewhere, *near[:_NAMED]))


def _candidates(run: GreRun, folder: Path, wanted: Sequence[str]) -> list[Path]:
    named = (path for path in _masks(run, folder) if _IS_MASK.search(path.name) and _desc(path) in wanted)
    found = (path for path in named if _belongs(run, path))
    return sorted(found, key=lambda path: (wanted.index(_desc(path)), path.name))


def _masks(run: GreRun, folder: Path) -> list[Path]:
    home = folder / f"sub-{run.subject}" / (f"ses-{run.session}" if run.session else ".")
    return sorted(path for pattern in ("*/*mask.nii", "*/*mask.nii.gz") for path in home.glob(pattern))


def _desc(path: Path) -> str:
    return _spelled(path).get("desc", "")


def _nearly(run: GreRun, folder: Path, wanted: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each mask of the participant that is not used, with the reason."""
    for path in _masks(run, folder):
        entities, own = _spelled(path), dict(run.entities)
        differs = [f"{key}-{entities[key]}" for key in own if key in entities and entities[key] != own[key]]
        if "label" in entities or _desc(path) in _OTHERS:
            continue
        if not _IS_MASK.search(path.name):
            why = "its name does not end with _mask"
        elif differs:
            why = f"its {' and '.join(differs)} is not that of {run.basename}"
        elif _desc(path) not in wanted:
            why = f"it has desc-{_desc(path)}; --mask-desc {_desc(path)} uses it" if _desc(path) else "it has no desc-"
        elif not _belongs(run, path):
            why = "it has an entity that the run has not"
        else:
            continue
        yield f"{path.name} of --derivatives is not used as the brain mask: {why}"


def _spelled(path: Path) -> dict[str, str]:
    return dict(re.findall(r"(?:^|_)([a-z]+)-([A-Za-z0-9+]+)", path.name, re.IGNORECASE))


def _belongs(run: GreRun, path: Path) -> bool:
    entities, own = _spelled(path), dict(run.entities)
    if "label" in entities or entities.get("desc", "") in _OTHERS:
        return False
    shared = (*own, "acq", "ce", "rec", "dir", "run")
    return entities.get("sub") == run.subject and all(
        entities[key] == own.get(key) for key in shared if key in entities
    )


def _on_grid(run: GreRun, shape: tuple[int, ...], affine: Any) -> bool:
    echo = run.echoes[0]
    own = look_at(next(path for path in (echo.phase, echo.real, echo.magnitude) if path is not None), False, run.coils)
    return not own.problem and own.shape == shape and same_place(own.affine, affine, shape)


#: Maps of other datasets that are used, by the end of their names: products, with desc- where two share a suffix.
_MAPS = {
    "r2": ("_R2map", ""),
    "r2prime": ("_R2map", "R2prime"),
    "r2star_given": ("_R2starmap", ""),
    "fibre_angle": ("_anglemap", "fibre"),
}


def with_given_maps(run: GreRun, folders: Sequence[Path]) -> GreRun:
    """Return the run with the maps of R2, R2', R2* and fibre angle that the first of the datasets has for it.

    Names: ``*_R2map``, ``*_desc-R2prime_R2map``, ``*_R2starmap`` (1/s) and ``*_desc-fibre_anglemap`` (rad, between
    fibres and main field). A map belongs to a run as a mask does (:func:`with_given_mask`).
    """
    found: dict[str, Path] = {}
    remarks = []
    for product, (suffix, desc) in _MAPS.items():
        for path in (path for folder in folders for path in _maps(run, folder, suffix, desc)):
            state = look_at(path, is_phase=False)
            if state.problem:
                remarks.append(state.problem)
            elif not _on_grid(run, state.shape, state.affine):
                remarks.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
            elif product not in found:
                found[product] = path
                remarks.append(f"{path.name} of {path.parent} is used for {product.removesuffix('_given')}")
    return replace(run, given_maps=tuple(found.items()), remarks=(*run.remarks, *remarks))


def _maps(run: GreRun, folder: Path, suffix: str, desc: str) -> list[Path]:
    home = folder / f"sub-{run.subject}" / (f"ses-{run.session}" if run.session else ".")
    paths = [path for end in (".nii", ".nii.gz") for path in home.glob(f"*/*{suffix}{end}")]
    return sorted(path for path in paths if _belongs(run, path) and _spelled(path).get("desc", "") == desc)
