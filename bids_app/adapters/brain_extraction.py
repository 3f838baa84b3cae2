"""Brain extraction by programs of others: an image in, a mask out, by one template of a command line.

A template has the words ``{image}`` (NIfTI, compressed) and ``{mask}`` (where the program writes its mask);
it may contain ``{threads}`` too. Programs that name their mask themselves have ``{stem}``, an output name without
extension, and the mask's name made of it.

SynthStrip: Hoopes et al. 2022, 10.1016/j.neuroimage.2022.119474. HD-BET: Isensee et al. 2019, 10.1002/hbm.24750. BET:
Smith 2002, 10.1002/hbm.10062.
"""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.derivatives.affines import same_place
from bids_app.derivatives.files import read_grid, read_image
from bids_app.errors import QsmAppError, ToolMissingError, UsageError
from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.params import nearest


@dataclass(frozen=True)
class Extractor:
    """A program: its template, the name of the mask that it writes, and how it is obtained and cited."""

    name: str
    template: str
    mask: str = "{mask}"
    advice: str = ""
    #: What the methods text says of it, by the key that a step records.
    method: str = "brain_program"

    @property
    def word(self) -> str:
        """Return what names it in the settings: its name, or the template."""
        return self.name or self.template

    @property
    def program(self) -> str:
        """Return the first word of the command line."""
        return shlex.split(self.template)[0]


_PATH = "install it so that it is on the PATH"
KNOWN = {
    extractor.name: extractor
    for extractor in (
        Extractor(
            "synthstrip",
            "mri_synthstrip -i {image} -m {mask}",
            advice=f"it comes with FreeSurfer 7.3 and later; {_PATH}",
            method="synthstrip",
        ),
        Extractor(
            "hd-bet",
            "hd-bet -i {image} -o {stem}.nii.gz -device cpu --disable_tta --save_bet_mask --no_bet_image",
            "{stem}_bet.nii.gz",
            f"pip install hd-bet (version 2); {_PATH}",
            "hd_bet",
        ),
        Extractor(
            "fsl-bet", "bet {image} {stem} -m -n", "{stem}_mask.nii.gz", f"it comes with FSL; {_PATH}", "fsl_bet"
        ),
    )
}


def extractor_of(word: str) -> Extractor:
    """Return a program by its name, or by a template of its command line.

    Raises
    ------
    UsageError
        If it is neither: an unknown name, or a template without ``{image}`` and ``{mask}``.
    """
    if word in KNOWN:
        return KNOWN[word]
    if "{" not in word and len(word.split()) == 1:
        raise UsageError(
            f"--brain-extraction: no program {word!r}: {nearest(word, list(KNOWN))}, or give a command line with "
            "{image} and {mask}"
        )
    missing = [mark for mark in ("{image}", "{mask}") if mark not in word]
    if missing:
        raise UsageError(f"--brain-extraction: the command line {word!r} lacks {' and '.join(missing)}")
    try:
        word.format(image="", mask="", stem="", threads=1)
        shlex.split(word)
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(
            f"--brain-extraction: the command line {word!r} cannot be used ({error}): write {{image}}, {{mask}} and "
            "{threads} alone in braces, and close all quotes"
        ) from error
    return Extractor("", word, advice=_PATH)


def files_of(word: str) -> list[Path]:
    """Return the files that a command line of the user's own names: programs and scripts, which may change."""
    if word in KNOWN:
        return []
    return [Path(part) for part in shlex.split(word) if part.startswith("/") and Path(part).is_file()]


def require(word: str) -> None:
    """Check that a program is here.

    Raises
    ------
    ToolMissingError
        If it is not.
    """
    extractor = extractor_of(word)
    if shutil.which(extractor.program) is None:
        raise ToolMissingError(f"--brain-extraction: there is no program {extractor.program}: {extractor.advice}")


def extract(word: str, image: Path, folder: Path, threads: int) -> BoolArray:
    """Return the brain mask that a program makes of an image, on the image's grid.

    Raises
    ------
    QsmAppError
        If the program fails, or its mask is missing, lies on another grid, is empty or full, or is not binary.
    """
    extractor = extractor_of(word)
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "image.nii.gz"  # programs leave files in the folder of their input
    shutil.copyfile(image, copy)
    stem = folder / "extracted"
    words = {"image": str(copy), "mask": f"{stem}_mask.nii.gz", "stem": str(stem), "threads": str(threads)}
    line = [part.format(**words) for part in shlex.split(extractor.template)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "FSLOUTPUTTYPE": "NIFTI_GZ"}
    try:
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise QsmAppError(f"{extractor.program} cannot be started: {error.strerror or error}") from error
    if done.returncode:
        said = [text.strip() for text in (done.stderr or done.stdout).splitlines() if text.strip()] or ["no message"]
        raise QsmAppError(f"{extractor.program} failed with exit code {done.returncode}: {said[-1][:300]}")
    made = Path(extractor.mask.format(**words))
    problem = _problem(made, copy)
    if problem:
        raise QsmAppError(
            f"{extractor.program} gave no usable brain mask: {problem}; look at the image, or leave out "
            "--brain-extraction"
        )
    mask: BoolArray = read_image(made)[0] > 0
    return mask


def _problem(made: Path, image: Path) -> str:
    """Return what is wrong with the mask that a program has written, nothing where it is one."""
    if not made.is_file():
        return f"it did not write {made.name}"
    data = read_image(made)[0]
    (shape, affine), wanted = read_grid(image), read_grid(made)
    if tuple(wanted[0]) != tuple(shape) or not same_place(wanted[1], affine, shape):
        return f"the mask has shape {tuple(wanted[0])} or another position, the image {tuple(shape)}"
    values = np.unique(data)
    if len(values) > 2 or values[0] < 0 or not np.isfinite(values).all():
        return f"the mask has {len(values)} different values, where 0 and another one are expected"
    if not data.any():
        return "the mask is empty"
    return "the mask is the whole volume" if data.all() else ""
