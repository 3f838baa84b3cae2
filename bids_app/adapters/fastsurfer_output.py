"""What FastSurfer said and left: whether it is a segmentation, and if not, the cause in one sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError

#: A brain is between a very small child's and half as much again as the largest adult's.
_BRAIN_MM3 = (3e5, 2.5e6)
_SMALLEST_LABEL_COUNT = 10
#: What its log says when too little was segmented (it goes on, and returns 0).
_VOLUMES_FAILED = r"volume is too small|QC[^\n]{0,60}fail|fail[^\n]{0,60}\bQC\b"
#: What the shell or Python says where the interpreter is not FastSurfer's.
NO_PYTHON = r"Cannot find the python interpreter|python[\d.]*: (?:command not found|No such file)|ModuleNotFoundError"
#: What its networks' weights say that are missing and cannot be fetched.
_NO_WEIGHTS = r"No server reachable|checkpoint[^\n]*(?:not (?:found|exist)|No such file)"
_NO_GPU = r"cuda (?:is )?not available|No CUDA GPUs|not compiled with CUDA"
#: Lines that state the cause, the best first: what Python raised, what else speaks of a failure. The script's own last
#: line, "ERROR: ... segmentation failed.", stands after every failure and says nothing.
_TELLING = (r"^[\w.]*(?:Error|Exception|Exit)\b.*:", r"error|fail|exception|not found|killed")
_EMPTY_WORDS = r"^ERROR: .*\bfailed\b[^:]*$|time command failing"
WRONG_PYTHON = (
    "FastSurfer's Python was not found or lacks a package: name it, --set fastsurfer.python=/path/to/python3 or "
    "$FASTSURFER_PYTHON, or do without: --segmentation atlas or none."
)


@dataclass(frozen=True)
class Segmentation:
    """Files that FastSurfer made, on its own conformed grid."""

    labels: Path
    brain_mask: Path
    version: str


def check_said(texts: Sequence[str], code: int, made: Segmentation) -> None:
    """Raise what the console (first of the texts) and FastSurfer's own log say of a failure."""
    text = "\n".join(texts)
    complete = made.labels.is_file() and made.brain_mask.is_file()
    if not complete and re.search(r"\b(as|by|the)\s+root\b|--allow_root", text, re.IGNORECASE):
        raise QsmAppError(
            "FastSurfer refuses to run as root: run as a user, e.g. docker run --user $(id -u):$(id -g) ..., "
            "apptainer run (always a user), or su - USER"
        )
    if not complete and (said := line_of(NO_PYTHON, text)):
        raise QsmAppError(f"{WRONG_PYTHON} It said: {said}")
    if not complete and (said := line_of(_NO_WEIGHTS, text)):
        raise QsmAppError(
            "FastSurfer's networks are not here and cannot be downloaded: put the checkpoints (*.pkl) into the folder "
            f"checkpoints of FASTSURFER_HOME, as its first run with a network does. It said: {said}"
        )
    if not complete and (said := line_of(_NO_GPU, text)):
        raise QsmAppError(f"FastSurfer finds no GPU: --set fastsurfer.device=cpu does without. It said: {said}")
    if said := line_of(_VOLUMES_FAILED, text):
        raise QsmAppError(
            "FastSurfer's check of the volumes failed: too little was segmented; look at the T1w image "
            f"(coverage, contrast, orientation). It said: {said}"
        )
    if code != 0:
        raise QsmAppError(f"FastSurfer failed with exit code {code}: {telling(*texts)}")


def line_of(pattern: str, text: str) -> str:
    """Return the first line in which a pattern is found; empty: none."""
    lines = (line.strip() for line in text.splitlines() if re.search(pattern, line, re.IGNORECASE))
    return next(lines, "")[:300]


def telling(*texts: str) -> str:
    """Return the last line that states a cause, of the first text that has one; else the last line of all."""
    kept = [[line.strip() for line in text.splitlines() if line.strip()] for text in texts]
    kept = [[line for line in lines if not re.search(_EMPTY_WORDS, line)] for lines in kept]
    for pattern in _TELLING:
        for lines in kept:
            if matching := [line for line in lines if re.search(pattern, line, re.IGNORECASE)]:
                return matching[-1][:300]
    return next((lines[-1][:300] for lines in kept if lines), "nothing")


def check_files(made: Segmentation) -> None:
    """Check that the files are a plausible segmentation.

    Raises
    ------
    QsmAppError
        Naming the file, and what is wrong with it.
    """
    for path in (made.labels, made.brain_mask):
        if not path.is_file():
            raise QsmAppError(f"FastSurfer ended without an error, but {path.name} is not there; see its log")
    try:
        labels, affine = read_image(made.labels)
        mask, mask_affine = read_image(made.brain_mask)
    except Exception as error:  # whatever nibabel raises for a damaged file
        raise QsmAppError(f"FastSurfer's output cannot be read ({type(error).__name__}: {error})") from error
    if labels.ndim != 3 or labels.shape != mask.shape or not np.allclose(affine, mask_affine, atol=1e-3):
        raise QsmAppError(
            f"FastSurfer's labels have shape {labels.shape} and its mask {mask.shape}: they do not belong together"
        )
    if not np.array_equal(labels, np.rint(labels)):
        raise QsmAppError(f"FastSurfer's {made.labels.name} holds values that are no labels")
    count = len(np.unique(labels)) - 1
    if count < _SMALLEST_LABEL_COUNT:
        raise QsmAppError(f"FastSurfer found {count} structures only: the segmentation failed; look at the T1w image")
    volume = float((mask > 0).sum() * abs(np.linalg.det(affine[:3, :3])))
    if not _BRAIN_MM3[0] <= volume <= _BRAIN_MM3[1]:
        raise QsmAppError(
            f"FastSurfer's brain mask holds {volume / 1000:.0f} ml, which is no brain's volume; look at the T1w image"
        )
