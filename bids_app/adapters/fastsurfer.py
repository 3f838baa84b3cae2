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

from bids_app.adapters.fastsurfer_output import (
    NO_PYTHON,
    WRONG_PYTHON,
    Segmentation,
    check_files,
    check_said,
    line_of,
    telling,
)
from bids_app.errors import QsmAppError, ToolMissingError

_SCRIPT = "run_fastsurfer.sh"
_LABELS = "mri/aparc.DKTatlas+aseg.deep.mgz"
_MASK = "mri/mask.mgz"
_ASK_SECONDS = 60
#: Lines of the log that a crash file keeps.
_LOG_TAIL = 60
GET_IT = (
    "install it (https://deep-mi.org/fastsurfer) and set FASTSURFER_HOME or --fastsurfer-home, or do without: "
    "--segmentation atlas --atlas DIR, or --segmentation none"
)


@dataclass(frozen=True)
class FastSurfer:
    """An installed FastSurfer: its script, its version, the options that its help names, what its Python complained."""

    script: Path
    version: str
    options: frozenset[str]
    complaint: str = ""


def find_script(home: Path | None = None, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return FastSurfer's script: in ``home`` if given, else in ``$FASTSURFER_HOME``, else on PATH; None: not there."""
    environment = os.environ if environment is None else environment
    given = home or (Path(environment["FASTSURFER_HOME"]) if environment.get("FASTSURFER_HOME") else None)
    if given is not None:
        script = given if given.name == _SCRIPT else given / _SCRIPT
        return script if script.is_file() else None
    path = shutil.which(_SCRIPT, path=environment.get("PATH"))
    return Path(path) if path else None


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
    places = (home_of(script) / folder / "bin" / "python3" for folder in ("venv", ".venv"))
    python = next((path for path in places if path.exists()), None)
    if python is not None and re.search(r"\s", str(python)):
        raise ToolMissingError(
            f"FastSurfer's script cannot start its Python, {python}, because of the space in the path: name a link to "
            "its folder whose path has none, --fastsurfer-home LINK"
        )
    return f"{python} -s" if python else ""


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
        raise ToolMissingError(f"{script}: {WRONG_PYTHON} It said: {tool.complaint}")
    if not python:
        return  # the script knows which; it answered
    ask = "import importlib.util as u; print(*[m for m in ('torch', 'nibabel') if u.find_spec(m) is None])"
    try:
        done = _answer(script, [*python.split(), "-c", ask])
        lacking = done.stdout.strip() if done.returncode == 0 else telling(done.stderr)
    except (OSError, subprocess.TimeoutExpired) as error:
        lacking = f"it cannot be started ({type(error).__name__})"
    if lacking:
        raise ToolMissingError(f"{script}: {WRONG_PYTHON} {python} lacks: {lacking}")


def environment_for(script: Path, threads: int = 1, cache: Path | None = None) -> dict[str, str]:
    """Return the environment that FastSurfer is run in: without our Python, with its own folder, threads and caches."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if sys.prefix != sys.base_prefix:
        # In a virtual environment of ours "python3" would be ours, which has no torch.
        folders = {Path(sys.prefix, "bin"), Path(sys.executable).parent}
        parts = environment.get("PATH", os.defpath).split(os.pathsep)
        environment["PATH"] = os.pathsep.join(part for part in parts if Path(part) not in folders)
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
        complaint = "" if lines else line_of(NO_PYTHON, said)
    return FastSurfer(script, version, options, complaint)


def _ask(script: Path, words: Sequence[str]) -> str:
    try:
        done = _answer(script, [*_start(script), *words])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissingError(f"{script} {words[-1]} does not answer ({type(error).__name__}): {GET_IT}") from error
    return done.stdout + done.stderr


def _answer(script: Path, line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a short command line in FastSurfer's environment."""
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        timeout=_ASK_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment_for(script),
    )


def _start(script: Path) -> list[str]:
    """A script that lost its execution bit (a copy, a mounted share) still runs by bash."""
    return [str(script)] if os.access(script, os.X_OK) else ["bash", str(script)]


def command(
    tool: FastSurfer, t1w: Path, subject: str, folder: Path, threads: int, settings: Mapping[str, object]
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


def segment(t1w: Path, folder: Path, script: Path, threads: int, settings: Mapping[str, object]) -> Segmentation:
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
                line,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=folder,
                env=environment,
            )
        except OSError as error:
            raise QsmAppError(f"FastSurfer cannot be started: {script}: {error.strerror or error}") from error
    own_log = folder / subject / "scripts" / "deep-seg.log"
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (log, own_log) if path.is_file()]
    made = Segmentation(folder / subject / _LABELS, folder / subject / _MASK, tool.version)
    try:
        check_said(texts, done.returncode, made)
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
        output = Segmentation(root / name / _LABELS, root / name / _MASK, "unknown")
        if output.labels.is_file() and output.brain_mask.is_file():
            return output
    return None
