"""The brain mask that other datasets (``--derivatives``) have for a run: on its grid, or in the T1w image's space."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.dataset.images import look_at
from bids_app.derivatives.affines import same_place
from bids_app.model.naming import entities_in
from bids_app.model.records import GivenMask, GreRun

#: ``desc`` labels of brain masks in order of preference. A mask of another description may be one of lesions: it is
#: used only where its label is asked for.
_PREFERRED = ("brain", "")
_IS_MASK = re.compile(r"_mask\.nii(\.gz)?$")
#: So many masks that were nearly used are named.
_NAMED = 3
#: Masks of our own that are no masks of the object.
_OTHERS = ("reliable", "qsm", "processing", "r2prime")
#: Entities that distinguish the images of a participant.
_IDENTITY = ("ses", "acq", "ce", "rec", "dir", "run")
#: Values of ``space`` that mean the T1w image.
_T1W_SPACES = ("t1w", "t1", "orig")
#: Brain masks in a folder of FreeSurfer or FastSurfer, in order of preference; they lie in the space of the T1w image.
_FREESURFER = ("mri/mask.mgz", "mri/brainmask.mgz")
#: Where fMRIPrep keeps FreeSurfer's folders.
_INSIDE = (".", "sourcedata/freesurfer", "freesurfer")


def with_given_mask(run: GreRun, folders: Sequence[Path], desc: str = "") -> GreRun:
    """Return the run with the mask that the first of the datasets has for it, and a remark about it.

    A mask belongs to a run when its subject and session are the run's, and no other entity of the run (``acq``,
    ``rec``, ``run`` ...) contradicts; or when its entities are those of the T1w image that the run uses. Its ``desc``
    is ``brain``, or it has none; or it is the one that is asked for. One on the run's grid comes first; else a mask of
    ``anat/`` (fMRIPrep) or of FreeSurfer is brought to the run: through the T1w image where there is one, else by the
    headers. Masks of tissues (``label``) are left alone. Where no mask is used, the remarks name those that nearly
    were.
    """
    wanted = (desc,) if desc else _PREFERRED
    elsewhere, remarks, near = [], [], []
    for folder in folders:
        near += list(_nearly(run, folder, wanted))
        for path in _candidates(run, folder, wanted):
            state = look_at(path, is_phase=False)
            if state.problem:
                remarks.append(state.problem)
            elif on_grid(run, state.shape, state.affine):
                text = f"mask {path.name} of {folder} is used instead of a computed one"
                return replace(run, given_mask=GivenMask(path), remarks=(*run.remarks, text))
            elif problem := _not_brought(path):
                remarks.append(f"{path.name} of --derivatives is not used: {problem}")
            else:
                elsewhere.append((folder, path))
        elsewhere += [] if desc else [(folder, path) for path in _of_freesurfer(run, folder)]
    if not elsewhere:
        return replace(run, remarks=(*run.remarks, *remarks, *near[:_NAMED]))
    folder, path = elsewhere[0]
    through, how = "t1w", "the registration of the T1w image"
    if run.t1w is None:
        through, how = "headers", "the headers alone (there is no T1w image)"
    text = f"mask {path.name} of {folder} is used instead of a computed one; it comes to the run's grid by {how}"
    return replace(run, given_mask=GivenMask(path, through), remarks=(*run.remarks, text))


def _not_brought(path: Path) -> str:
    """Return why a mask on another grid cannot be brought to the run; nothing where it can."""
    space = dict(entities_in(path.name)).get("space", "T1w")
    if path.parent.name != "anat":  # a mask of functional images is none of this head's anatomy
        return "it lies on another grid than the run"
    return "" if space.lower() in _T1W_SPACES else f"it lies in the space {space}"


def participant_folders(run: GreRun, folder: Path) -> list[Path]:
    """Return the folders of a run's participant: of the session first, then those of all sessions (T1w templates)."""
    subject = folder / f"sub-{run.subject}"
    return [subject / f"ses-{run.session}", subject] if run.session else [subject]


def _masks(run: GreRun, folder: Path) -> list[Path]:
    patterns = ("*/*mask.nii", "*/*mask.nii.gz")
    homes = participant_folders(run, folder)
    if run.t1w is not None and run.t1w.session not in (None, run.session):
        homes.append(folder / f"sub-{run.subject}" / f"ses-{run.t1w.session}")
    return [path for home in homes for path in sorted(p for ends in patterns for p in home.glob(ends))]


def _desc(path: Path) -> str:
    return dict(entities_in(path.name)).get("desc", "")


def _candidates(run: GreRun, folder: Path, wanted: Sequence[str]) -> list[Path]:
    named = (path for path in _masks(run, folder) if _IS_MASK.search(path.name) and _desc(path) in wanted)
    # Stable: those of the session stay before those of all sessions.
    fitting = (path for path in named if belongs(run, path) or _is_of_t1w(run, path))
    return sorted(fitting, key=lambda path: wanted.index(_desc(path)))


def _nearly(run: GreRun, folder: Path, wanted: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each mask of the participant that is not used, with the reason."""
    for path in _masks(run, folder):
        entities, of_run = dict(entities_in(path.name)), dict(run.entities)
        differs = [f"{key}-{entities[key]}" for key in of_run if key in entities and entities[key] != of_run[key]]
        if "label" in entities or _desc(path) in _OTHERS or (_is_of_t1w(run, path) and _desc(path) in wanted):
            continue
        if not _IS_MASK.search(path.name):
            why = "its name does not end with _mask"
        elif differs:
            why = f"its {' and '.join(differs)} is not that of {run.basename}"
        elif _desc(path) not in wanted:
            why = f"it has desc-{_desc(path)}; --mask-desc {_desc(path)} uses it" if _desc(path) else "it has no desc-"
        elif not belongs(run, path):
            why = "it has an entity that the run has not"
        else:
            continue
        yield f"{path.name} of --derivatives is not used as the brain mask: {why}"


def _of_freesurfer(run: GreRun, folder: Path) -> Iterator[Path]:
    """Yield the brain mask in FreeSurfer's folder of the participant, of the session first."""
    sessions = dict.fromkeys((run.session, run.t1w.session if run.t1w else None))
    names = [f"sub-{run.subject}_ses-{session}" for session in sessions if session]
    for inside in _INSIDE:
        for name in (*names, f"sub-{run.subject}"):
            paths = (folder / inside / name / file for file in _FREESURFER)
            path = next((path for path in paths if path.is_file()), None)
            if path is not None and not look_at(path, is_phase=False).problem:
                yield path
                return


def _is_of_t1w(run: GreRun, path: Path) -> bool:
    """Return whether a mask is of the T1w image that the run uses: fMRIPrep keeps that image's entities."""
    entities = dict(entities_in(path.name))
    if run.t1w is None or "label" in entities or path.parent.name != "anat" or not _IS_MASK.search(path.name):
        return False
    of_t1w = dict(run.t1w.entities)
    return entities.get("sub") == run.subject and all(
        entities[key] == of_t1w.get(key) for key in _IDENTITY if key in entities
    )


def belongs(run: GreRun, path: Path) -> bool:
    """Return whether an image of another dataset is of a run, by its entities."""
    entities, of_run = dict(entities_in(path.name)), dict(run.entities)
    if "label" in entities or entities.get("desc", "") in _OTHERS:
        return False
    shared = (*of_run, *_IDENTITY)
    return entities.get("sub") == run.subject and all(
        entities[key] == of_run.get(key) for key in shared if key in entities
    )


def on_grid(run: GreRun, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> bool:
    """Return whether an image of this shape and affine lies on the run's grid."""
    echo = run.echoes[0]
    state = look_at(
        next(path for path in (echo.phase, echo.real, echo.magnitude) if path is not None), False, run.coils
    )
    return not state.problem and state.shape == shape and same_place(state.affine, affine, shape)
