"""The external programs: where they are, and how they are run."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.convert.name.heuristic import environment_paths
from bids_app.errors import ToolMissingError

#: No single series takes longer than this (s); a program that hangs is stopped.
_TIME_LIMIT = 3600


@dataclass(frozen=True)
class Ran:
    """How a program ended."""

    code: int
    output: str

    @property
    def last_line(self) -> str:
        """The last line that it said, for a report."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment for subprocesses: our scripts on PATH, our package importable, nothing outside scratch."""
    scripts, package_root = environment_paths()
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([str(scripts), env.get("PATH", os.defpath)])
    env["PYTHONPATH"] = os.pathsep.join([str(package_root), *filter(None, [env.get("PYTHONPATH")])])
    env["NO_ET"] = "1"  # heudiconv and nipype ask a server for newer versions otherwise
    env["NIPYPE_CONFIG_DIR"] = env["XDG_CACHE_HOME"] = str(scratch)
    env["TMPDIR"] = str(scratch)
    env["PYTHONWARNINGS"] = "ignore"
    return env


def find_dcm2niix() -> str:
    """Return the path of dcm2niix; raises ToolMissingError with the way to get it."""
    scripts, _ = environment_paths()
    program = shutil.which("dcm2niix", path=os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)]))
    if program is None:
        raise ToolMissingError("dcm2niix is not installed: pip install dcm2niix.")
    return program


def check_tools(*, dcm2niix: bool) -> None:
    """Raise ToolMissingError unless heudiconv (and dcm2niix, where it is needed) is installed."""
    if dcm2niix:
        find_dcm2niix()
    if importlib.util.find_spec("heudiconv") is None:
        raise ToolMissingError("heudiconv is not installed: pip install heudiconv.")


def run(command: Sequence[str], scratch: Path) -> Ran:
    """Run a program without a shell; its output is kept, its working directory is ``scratch``."""
    try:
        done = subprocess.run(
            list(command),
            env=environment(scratch),
            cwd=scratch,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return Ran(124, f"stopped after {_TIME_LIMIT} s")
    return Ran(done.returncode, done.stdout + done.stderr)


def run_module(module: str, arguments: Sequence[str], scratch: Path) -> Ran:
    """Run a Python module with this interpreter."""
    return run([sys.executable, "-m", module, *arguments], scratch)


def link(source: Path, target: Path) -> None:
    """Link a DICOM file, or copy it where links are not possible; one without preamble is completed.

    pydicom reads files without the preamble and the meta information, dcm2niix does not.
    """
    with source.open("rb") as file:
        complete = file.read(132)[128:] == b"DICM"
    if not complete:
        import pydicom
        from pydicom.dataset import FileMetaDataset
        from pydicom.uid import ImplicitVRLittleEndian

        data = pydicom.dcmread(source, force=True)
        data.file_meta = getattr(data, "file_meta", None) or FileMetaDataset()
        if "TransferSyntaxUID" not in data.file_meta:
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        data.save_as(target, enforce_file_format=True)
        return
    try:
        target.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)
