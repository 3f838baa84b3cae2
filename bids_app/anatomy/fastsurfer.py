"""FastSurferCNN through its own command line: find it, ask what it can do, run it, check what it made.

Henschel et al. 2020, 10.1016/j.neuroimage.2020.117012. The command returns 0 after some failures, so only the files
that it left count. It is a program of its own: its Python has torch, ours has not, so ours is kept out of its sight.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError, ToolMissingError

_SCRIPT = "run_fastsurfer.sh"
_LABELS = "mri/aparc.DKTatlas+aseg.deep.mgz"
_MASK = "mri/mask.mgz"
_ASK_SECONDS = 60
#: A brain is between a very small child's and half as much again as the largest adult's.
_BRAIN_MM3 = (3e5, 2.5e6)
_SMALLEST_LABEL_COUNT = 10
#: What its log says when too little was segmented (it goes on, and returns 0).
_VOLUMES_FAILED = r"volume is too small|QC[^\n]{0,60}fail|fail[^\n]{0,60}\bQC\b"
#: What the shell or Python says where the interpreter is not FastSurfer's.
_NO_PYTHON = r"Cannot find the python interpreter|python[\d.]*: (?:command not found|No such file)|ModuleNotFoundError"
#: What its networks' weights say that are neither here nor can be had.
_NO_WEIGHTS = r"Downloading checkpoint|No server reachable|checkpoint[^\n]*(?:not (?:found|exist)|No such file)"
_NO_GPU = r"cuda (?:is )?not available|No CUDA GPUs|not compiled with CUDA"
#: Lines that tell the cause, the best first: what Python raised, what else speaks of a failure. The script's own last
#: line, "ERROR: ... segmentation failed.", stands after every failure and tells nothing.
_TELLING = (r"^[\w.]*(?:Error|Exception|Exit)\b.*:", r"error|fail|exception|not found|killed")
_EMPTY_WORDS = r"^ERROR: .*\bfailed\b[^:]*$|time command failing"
#: Lines of the log that a crash file keeps.
_LOG_TAIL = 60
GET_IT = (
    "install it (https://deep-mi.org/fastsurfer) and set FASTSURFER_HOME or --fastsurfer-home, or do without: "
    "--segmentation atlas --atlas DIR, or --segmentation none"
)


_WRONG_PYTHON = (
    "FastSurfer's Python was not found or lacks a package: name it, --set fastsurfer.python=/path/to/python3 or "
    "$FASTSURFER_PYTHON, or do without: --segmentation atlas or none."
)


@dataclass(frozen=True)
class FastSurfer:
    """An installed FastSurfer: its script, its version, the options that its help names, what its Python complained."""

    script: Path
    version: str
    options: frozenset[str]
    complaint: str = ""


@dataclass(frozen=True)
class Segmentation:
    """Files that FastSurfer made, on its own conformed grid."""

    labels: Path
    brain_mask: Path
    version: str


def find_script(home: Path | None = None, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return FastSurfer's script: in ``home`` if given, else in ``$FASTSURFER_HOME``, else on PATH; None: not there."""
    environment = os.environ if environment is None else environment
    given = home or (Path(environment["FASTSURFER_HOME"]) if environment.get("FASTSURFER_HOME") else None)
    if given is not None:
        script = given if given.name == _SCRIPT else given / _SCRIPT
        return script if script.is_file() else None
    found = shutil.which(_SCRIPT, path=environment.get("PATH"))
    return Path(found) if found else None


def require(home: Path | None = None) -> Path:
    """Return the script.

    Raises
    ------
    ToolMissingError
        If it is not there; the sentence says how to get it and how to do without.
    """
    script = find_script(home)
    if script is None:
        where = f"in {home}" if home else "($FASTSURFER_HOME, PATH)"
        raise ToolMissingError(f"FastSurfer's {_SCRIPT} was not found {where}: {GET_IT}")
    return script


def home_of(script: Path) -> Path:
    """Return the folder of FastSurfer's code; a script on PATH may be a link to it."""
    return next((p for p in (script.parent, script.resolve().parent) if (p / "FastSurferCNN").is_dir()), script.parent)


def python_of(script: Path, wanted: str = "", environment: Mapping[str, str] | None = None) -> str:
    """Return the Python that FastSurfer is to be run by, as its ``--py`` takes it; empty: what the script says itself.

    What is ``wanted``, else ``$FASTSURFER_PYTHON``, else that of a virtual environment in FastSurfer's folder.
    """
    environment = os.environ if environment is None else environment
    named = wanted or environment.get("FASTSURFER_PYTHON", "")
    if named:
        return named
    own = (home_of(script) / folder / "bin" / "python3" for folder in ("venv", ".venv"))
    found = next((path for path in own if path.exists()), None)
    if found is not None and re.search(r"\s", str(found)):
        raise ToolMissingError(
            f"FastSurfer's script cannot start its Python, {found}, because of the space in the path: name a link to "
            "its folder whose path has none, --fastsurfer-home LINK"
        )
    return f"{found} -s" if found else ""


def check_python(script: Path, wanted: str = "") -> None:
    """Check that FastSurfer's Python starts and has the packages without which every segmentation would fail.

    Raises
    ------
    ToolMissingError
        With the sentence that says how to name another one.
    """
    python = python_of(script, wanted)
    tool = probe(script, python)
    if tool.complaint:
        raise ToolMissingError(f"{script}: {_WRONG_PYTHON} It said: {tool.complaint}")
    if not python:
        return  # the script knows which; it answered
    ask = "import importlib.util as u; print(*[m for m in ('torch', 'nibabel') if u.find_spec(m) is None])"
    try:
        done = subprocess.run(
            [*python.split(), "-c", ask], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False,
            stdin=subprocess.DEVNULL, env=environment_for(script),
        )  # fmt: skip
        lacking = done.stdout.strip() if done.returncode == 0 else _telling(done.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        lacking = f"it cannot be started ({type(error).__name__})"
    if lacking:
        raise ToolMissingError(f"{script}: {_WRONG_PYTHON} {python} lacks: {lacking}")


def environment_for(script: Path, threads: int = 1, cache: Path | None = None) -> dict[str, str]:
    """Return the environment that FastSurfer is run in: without our Python, with its own folder, threads and caches."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if sys.prefix != sys.base_prefix:
        # In a virtual environment of ours "python3" would be ours, which has no torch.
        own = {Path(sys.prefix, "bin"), Path(sys.executable).parent}
        parts = environment.get("PATH", os.defpath).split(os.pathsep)
        environment["PATH"] = os.pathsep.join(part for part in parts if Path(part) not in own)
    environment["FASTSURFER_HOME"] = str(home_of(script))
    environment |= {"OMP_NUM_THREADS": str(threads), "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads)}
    if cache is not None:  # containers have no home to write to
        environment = {"MPLCONFIGDIR": str(cache), "XDG_CACHE_HOME": str(cache)} | environment
    return environment


@lru_cache(maxsize=4)
def probe(script: Path, python: str = "") -> FastSurfer:
    """Ask the script which version it is and which options it has.

    Raises
    ------
    ToolMissingError
        If it cannot be started or does not name the options without which it is of no use.
    """
    help_text = _ask(script, ["--help"])
    options = frozenset(re.findall(r"--[A-Za-z0-9][\w-]*", help_text))
    needed = {"--t1", "--sid", "--sd", "--seg_only"}
    if not needed <= options:
        lacking = ", ".join(sorted(needed - options))
        raise ToolMissingError(f"{script} --help does not name {lacking}: this is no FastSurfer 2 or later; {GET_IT}")
    version, complaint = "unknown", ""
    if "--version" in options:
        said = _ask(script, [*(["--py", python] if python and "--py" in options else []), "--version"])
        # A shell's complaint about python3.10 holds a number too.
        lines = [line.strip() for line in said.splitlines() if re.match(r"\s*v?\d+\.\d+", line)]
        version = lines[0] if lines else "unknown"
        complaint = "" if lines else _line_of(_NO_PYTHON, said)
    return FastSurfer(script, version, options, complaint)


def _ask(script: Path, words: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            [*_start(script), *words], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False,
            stdin=subprocess.DEVNULL, env=environment_for(script),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissingError(f"{script} {words[-1]} does not answer ({type(error).__name__}): {GET_IT}") from error
    return done.stdout + done.stderr


def _start(script: Path) -> list[str]:
    """A script that lost its execution bit (a copy, a mounted share) still runs by bash."""
    return [str(script)] if os.access(script, os.X_OK) else ["bash", str(script)]


def command(
    tool: FastSurfer, t1w: Path, subject: str, folder: Path, threads: int, settings: Mapping[str, Any]
) -> list[str]:
    """Return the command line, with those of our options that this release knows.

    ``settings`` holds ``device`` and ``viewagg_device`` (auto, cpu, cuda), ``vox_size`` (mm, or min) and ``python``.
    """
    line = [*_start(tool.script), "--t1", str(t1w), "--sid", subject, "--sd", str(folder), "--seg_only"]
    wanted: list[tuple[str, str | None]] = [
        ("--threads", str(threads)),
        ("--device", str(settings["device"])),
        ("--viewagg_device", str(settings["viewagg_device"])),
        ("--vox_size", str(settings["vox_size"])),
        ("--no_cereb", None),
        ("--no_hypothal", None),
        ("--no_cc", None),
    ]
    if python := python_of(tool.script, str(settings["python"])):
        wanted.append(("--py", python))
    for option, value in wanted:
        if option in tool.options:
            line += [option] if value is None else [option, value]
    return line


def memory_bytes(shape: Sequence[int], voxel_size: Sequence[float], vox_size: str) -> int:
    """Return an estimate of FastSurfer's peak memory for an image, in bytes: 5 GB at 256 voxels along each axis.

    Its conformed image is a cube with 256 voxels at least, or as many as the image's longest side needs at ``vox_size``
    (mm, or ``min``, the image's own finest).
    """
    edge = min(voxel_size) if vox_size == "min" else float(vox_size)
    longest = max(n * v for n, v in zip(shape, voxel_size, strict=True))
    # At 1 mm it is always 256; "min" never makes voxels larger than that.
    side = 256 if edge >= 1 else max(256, round(longest / edge))
    return int(5e9 * (side / 256) ** 3)


def segment(t1w: Path, folder: Path, script: Path, threads: int, settings: Mapping[str, Any]) -> Segmentation:
    """Segment a T1-weighted image in ``folder`` and return FastSurfer's labels and brain mask.

    Raises
    ------
    QsmAppError
        If it failed, whatever it returned: it refused root, its quality check of the volumes failed, a file is
        missing, or a file is no plausible segmentation of this image.
    """
    tool = probe(script, python_of(script, str(settings["python"])))
    folder.mkdir(parents=True, exist_ok=True)
    subject = "t1w"
    line = command(tool, t1w.absolute(), subject, folder, threads, settings)
    environment = environment_for(tool.script, threads, folder / "cache")
    log = folder / "fastsurfer.log"
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                line, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False, cwd=folder,
                env=environment,
            )  # fmt: skip
        except OSError as error:
            raise QsmAppError(f"FastSurfer cannot be started: {script}: {error.strerror or error}") from error
    own_log = folder / subject / "scripts" / "deep-seg.log"
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (log, own_log) if path.is_file()]
    made = Segmentation(folder / subject / _LABELS, folder / subject / _MASK, tool.version)
    try:
        _check_said(texts, done.returncode, made)
        check_files(made)
    except QsmAppError as error:
        # The step's folder goes when it fails: what FastSurfer said is kept in the crash file.
        for path, text in zip((log, own_log), texts, strict=False):
            error.add_note("\n".join((f"End of {path.name}:", *text.splitlines()[-_LOG_TAIL:])))
        raise
    return made


def existing(root: Path, subject: str, session: str | None) -> Segmentation | None:
    """Return FastSurfer's (or FreeSurfer-like named) output of a subject in a folder of such outputs, None: none."""
    names = [f"sub-{subject}_ses-{session}", f"sub-{subject}/ses-{session}"] if session else []
    for name in (*names, f"sub-{subject}", subject):
        found = Segmentation(root / name / _LABELS, root / name / _MASK, "unknown")
        if found.labels.is_file() and found.brain_mask.is_file():
            return found
    return None


def _check_said(texts: Sequence[str], code: int, made: Segmentation) -> None:
    """Raise what the console (first of the texts) and FastSurfer's own log say of a failure."""
    text = "\n".join(texts)
    complete = made.labels.is_file() and made.brain_mask.is_file()
    if not complete and re.search(r"\b(as|by|the)\s+root\b|--allow_root", text, re.IGNORECASE):
        raise QsmAppError(
            "FastSurfer refuses to run as root: run as a user, e.g. docker run --user $(id -u):$(id -g) ..., "
            "apptainer run (always a user), or su - USER"
        )
    if not complete and (said := _line_of(_NO_PYTHON, text)):
        raise QsmAppError(f"{_WRONG_PYTHON} It said: {said}")
    if not complete and (said := _line_of(_NO_WEIGHTS, text)):
        raise QsmAppError(
            "FastSurfer's networks are not here and cannot be downloaded: put the checkpoints (*.pkl) into the folder "
            f"checkpoints of FASTSURFER_HOME, as its first run with a network does. It said: {said}"
        )
    if not complete and (said := _line_of(_NO_GPU, text)):
        raise QsmAppError(f"FastSurfer finds no GPU: --set fastsurfer.device=cpu does without. It said: {said}")
    if said := _line_of(_VOLUMES_FAILED, text):
        raise QsmAppError(
            "FastSurfer's check of the volumes failed: too little was segmented; look at the T1w image "
            f"(coverage, contrast, orientation). It said: {said}"
        )
    if code != 0:
        raise QsmAppError(f"FastSurfer failed with exit code {code}: {_telling(*texts)}")


def _line_of(pattern: str, text: str) -> str:
    """Return the first line in which a pattern is found; empty: none."""
    lines = (line.strip() for line in text.splitlines() if re.search(pattern, line, re.IGNORECASE))
    return next(lines, "")[:300]


def _telling(*texts: str) -> str:
    """Return the last line that tells a cause, of the first text that has one; else the last line of all."""
    kept = [[line.strip() for line in text.splitlines() if line.strip()] for text in texts]
    kept = [[line for line in lines if not re.search(_EMPTY_WORDS, line)] for lines in kept]
    for pattern in _TELLING:
        for lines in kept:
            if told := [line for line in lines if re.search(pattern, line, re.IGNORECASE)]:
                return told[-1][:300]
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
