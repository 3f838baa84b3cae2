"""What other datasets (``--derivatives``) have for a gradient-echo run: a mask and maps of relaxation in its space."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.dataset.images import look_at
from bids_app.derivatives.affines import same_place
from bids_app.model.records import GreRun

#: ``desc`` labels in order of preference; masks of other descriptions come after them, in alphabetical order.
_PREFERRED = ("brain", "")
#: Masks of our own that are no masks of the object.
_OTHERS = ("reliable", "qsm")


def with_given_mask(run: GreRun, folders: Sequence[Path]) -> GreRun:
    """Return the run with the mask that the first of the datasets has for it, and a remark about it.

    A mask belongs to a run when its subject and session are the run's, no other entity of the run (``acq``, ``rec``,
    ``run`` ...) contradicts, and it lies on the run's grid. Masks of tissues (``label``) are left alone.
    """
    elsewhere = []
    for folder in folders:
        for path in _candidates(run, folder):
            state = look_at(path, is_phase=False)
            if state.problem:
                elsewhere.append(state.problem)
            elif not _on_grid(run, state.shape, state.affine):
                elsewhere.append(f"{path.name} of --derivatives is not used: it lies on another grid than the run")
            else:
                text = f"mask {path.name} of {folder} is used instead of a computed one"
                return replace(run, given_mask=path, remarks=(*run.remarks, text))
    return replace(run, remarks=(*run.remarks, *elsewhere))


def _candidates(run: GreRun, folder: Path) -> list[Path]:
    home = folder / f"sub-{run.subject}" / (f"ses-{run.session}" if run.session else ".")
    found = [path for pattern in ("*/*_mask.nii", "*/*_mask.nii.gz") for path in home.glob(pattern)]
    return sorted((path for path in found if _belongs(run, path)), key=_order)


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


def _order(path: Path) -> tuple[int, str]:
    desc = _spelled(path).get("desc", "")
    return (_PREFERRED.index(desc) if desc in _PREFERRED else len(_PREFERRED), path.name)


def _on_grid(run: GreRun, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> bool:
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
