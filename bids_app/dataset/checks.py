"""Preflight: everything that is wrong with the input, listed at once, before anything is written."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import Echo, GreRun

#: An echo time above this many seconds is in ms by the look of it.
_LONGEST_ECHO_TIME = 0.5


def _files(echo: Echo) -> list[Path]:
    return [path for path in (echo.magnitude, echo.phase, echo.real, echo.imag) if path is not None]


def no_phase(run: GreRun) -> Iterator[str]:
    """Every echo needs a phase, or real and imaginary parts."""
    for echo in run.echoes:
        if echo.phase is None and not (echo.real and echo.imag):
            name = _files(echo)[0].name
            yield f"{name}: echo {echo.number} has no phase image; add part-phase, or part-real and part-imag"


def echo_gaps(run: GreRun) -> Iterator[str]:
    """Echoes are numbered without gaps, and a magnitude is there for all of them or for none."""
    numbers = [echo.number for echo in run.echoes]
    gaps = sorted(set(range(1, max(numbers) + 1)) - set(numbers))
    if gaps:
        yield f"{run.basename}: echo {', '.join(map(str, gaps))} is missing; add its files or renumber the echoes"
    without = [echo.number for echo in run.echoes if echo.phase and not echo.magnitude]
    if 0 < len(without) < len(numbers):
        yield f"{run.basename}: echo {', '.join(map(str, without))} has a phase but no magnitude; add it"


def echo_times(run: GreRun) -> Iterator[str]:
    """Echo times are there, in seconds, and differ."""
    for echo in run.echoes:
        name, value = _files(echo)[0].name, echo.echo_time
        if not isinstance(value, int | float) or not value > 0:
            yield f"{name}: no EchoTime (in seconds) in its JSON sidecar or those above it; add it"
        elif value > _LONGEST_ECHO_TIME:
            yield f"{name}: EchoTime {value} looks like milliseconds; BIDS wants seconds ({value / 1000})"
    times = [echo.echo_time for echo in run.echoes if echo.echo_time]
    if len(set(times)) < len(times):
        yield f"{run.basename}: two echoes have the same EchoTime; correct their JSON sidecars"


def field_strength(run: GreRun) -> Iterator[str]:
    """The field strength is there, in tesla."""
    value = run.field_strength
    if not isinstance(value, int | float) or not 0.05 <= value <= 25:
        name = _files(run.echoes[0])[0].name
        yield f"{name}: MagneticFieldStrength is {value!r} in its JSON sidecars; set it in tesla, for example 3"


def images(run: GreRun) -> Iterator[str]:
    """Files are whole, 3D, and on one grid; a phase is not constant."""
    import nibabel

    first: tuple[str, Any, Any] | None = None
    for path in (path for echo in run.echoes for path in _files(echo)):
        if path.is_symlink() and not path.exists():
            yield f"{path.name}: links to a file that is not here; fetch it, e.g. `datalad get {path.name}`"
            continue
        if path.stat().st_size == 0:
            yield f"{path.name}: is empty (0 bytes); copy it again"
            continue
        try:
            image: Any = nibabel.load(path)
            data = np.asarray(image.dataobj)
        except Exception as error:  # any failure to decode a damaged file, whatever library raises it
            yield f"{path.name}: cannot be read, it is damaged or truncated ({type(error).__name__}); copy it again"
            continue
        if data.ndim != 3:
            yield f"{path.name}: has {data.ndim} dimensions; BIDS keeps one 3D file per echo, split it"
            continue
        if "part-phase" in path.name and data.min() == data.max():
            yield f"{path.name}: the phase has one constant value; export the phase again"
        if first is None:
            first = (path.name, data.shape, image.affine)
        elif data.shape != first[1]:
            yield f"{path.name}: has shape {data.shape}, {first[0]} has {first[1]}; all echoes and parts share one grid"
        elif not np.allclose(image.affine, first[2], atol=1e-3):
            yield f"{path.name}: lies elsewhere than {first[0]} (other affine); all echoes and parts share one grid"


#: Checks of one run, in the order of the list that the user sees; a new one is added here.
RUN_CHECKS: tuple[Callable[[GreRun], Iterator[str]], ...] = (no_phase, echo_gaps, echo_times, field_strength, images)


def preflight(runs: Sequence[GreRun], bids_dir: Path, output_dir: Path) -> list[str]:
    """Return a sentence for everything that is wrong; none means go."""
    problems = []
    if output_dir == bids_dir:
        problems.append(f"the output directory is the BIDS directory itself; use {bids_dir}/derivatives/qsm or another")
    existing = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        problems.append(f"the output directory {output_dir} cannot be written; choose another or change its rights")
    if not runs:
        problems.append(
            f"{bids_dir}: no gradient-echo phase found (MEGRE or T2starw with part-phase) for this selection"
        )
    for name, count in Counter(run.basename for run in runs).items():
        if count > 1:
            problems.append(f"{name}: {count} images of different suffix would give the same output names; keep one")
    return problems + [problem for run in runs for check in RUN_CHECKS for problem in check(run)]
