"""Preflight: everything that is wrong with the input, listed at once, before anything is written."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.images import ImageState, look_at
from bids_app.model.records import Echo, GreRun, Subject

#: An echo time above this many seconds is in ms by the look of it.
_LONGEST_ECHO_TIME = 0.5
#: So many "echoes" at each echo time are images of single receiver coils.
_COILS = 4
#: Angle between a sidecar's B0_dir and the affine's z axis from which the user is told, degrees.
_B0_ANGLE = 5.0


def _files(echo: Echo) -> list[Path]:
    return [path for path in (echo.magnitude, echo.phase, echo.real, echo.imag) if path is not None]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def clashes(run: GreRun) -> Iterator[str]:
    """Two files are one image by all entities that we know."""
    for name, other in run.clashes:
        yield (
            f"{name} and {other} are the same echo and part: they differ by an entity that is not used here "
            "(single receive coils go into one image, as its fourth dimension); keep one, or rename with acq- or run-"
        )


def no_phase(run: GreRun) -> Iterator[str]:
    """Every echo needs a phase, or real and imaginary parts."""
    without = [echo for echo in run.echoes if echo.phase is None and not (echo.real and echo.imag)]
    if len(without) == len(run.echoes) and not any(echo.real or echo.imag for echo in without):
        name = _files(without[0])[0].name
        yield (
            f"{name}: this run has no phase images; add part-phase (or part-real and part-imag), or leave it out "
            "with --bids-filter-file"
        )
        return
    for echo in without:
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
    """Echo times are there, in seconds, differ, and are those of the magnitude too."""
    times = Counter(echo.echo_time for echo in run.echoes if _is_number(echo.echo_time))
    if len(times) > 0 and len(run.echoes) / len(times) >= _COILS:
        yield (
            f"{run.basename}: {len(run.echoes)} echoes have just {len(times)} different EchoTimes: these look like "
            "images of single receive coils; keep one image per echo, with the coils as its fourth dimension, and give "
            "--set field.coils=combine"
        )
        return
    for echo in run.echoes:
        name, value = _files(echo)[0].name, echo.echo_time
        if not _is_number(value) or not value or value < 0:
            yield f"{name}: no EchoTime (in seconds) in its JSON sidecar or those above it; add it"
        elif value > _LONGEST_ECHO_TIME:
            yield f"{name}: EchoTime {value} looks like milliseconds; BIDS wants seconds ({value / 1000})"
        elif _is_number(echo.magnitude_echo_time) and echo.magnitude_echo_time != value:
            yield f"{name}: EchoTime is {echo.magnitude_echo_time} for the magnitude and {value} for the phase"
    if max(times.values(), default=1) > 1:
        yield f"{run.basename}: two echoes have the same EchoTime; correct their JSON sidecars"
    numbers = [echo.number for echo in run.echoes]  # the echoes are in order of time
    if any(a > b for a, b in pairwise(numbers)) and not max(times.values(), default=1) > 1:
        yield f"{run.basename}: EchoTime does not rise with the echo number; correct the names or the JSON sidecars"


def coils(run: GreRun) -> Iterator[str]:
    """Coils are weighed by their magnitudes."""
    if run.coils > 1 and any(echo.phase and not echo.magnitude for echo in run.echoes):
        yield f"{run.basename}: coils are weighed by their magnitudes, which are not there; add part-mag with all coils"


def field_strength(run: GreRun) -> Iterator[str]:
    """The field strength is there, in tesla, and one for all echoes."""
    value, name = run.field_strength, _files(run.echoes[0])[0].name
    if not _is_number(value) or not value or not 0.05 <= value <= 25:
        yield f"{name}: MagneticFieldStrength is {value!r} in its JSON sidecars; set it in tesla, for example 3"
    others = {str(echo.metadata.get("MagneticFieldStrength")) for echo in run.echoes}
    if len(others) > 1:
        yield f"{run.basename}: echoes have different MagneticFieldStrength ({', '.join(sorted(others))}); correct them"


def b0_direction(run: GreRun) -> Iterator[str]:
    """``B0_dir`` of a sidecar is a direction."""
    value: Any = run.b0_dir
    if value is None:
        return
    if len(value) != 3 or not all(map(_is_number, value)) or not any(value):
        yield (
            f"{run.basename}: B0_dir is {list(value)!r} in its JSON sidecars; set three numbers, the direction of the "
            "main field along the image's voxel axes, or remove it: the affine gives the direction"
        )


def images(run: GreRun) -> Iterator[str]:
    """Files are whole, 3D, and on one grid; a phase is not constant."""
    first: tuple[str, ImageState] | None = None
    for echo in run.echoes:
        for path in _files(echo):
            state = look_at(path, is_phase=path == echo.phase, coils=run.coils)
            if state.problem:
                yield state.problem
            elif state.volumes != run.coils:
                yield f"{path.name}: is 3D, other images of this run hold {run.coils} coils; all have the same"
            elif first is None:
                first = (path.name, state)
            elif state.shape != first[1].shape:
                yield (
                    f"{path.name}: has shape {state.shape}, {first[0]} has {first[1].shape}; "
                    "all echoes and parts share one grid"
                )
            elif not np.allclose(state.affine, first[1].affine, atol=1e-3):
                yield f"{path.name}: lies elsewhere than {first[0]} (other affine); all echoes and parts share one grid"


def anatomical(run: GreRun) -> Iterator[str]:
    """The anatomical image that goes with the run is whole."""
    if run.t1w is not None:
        problem = look_at(run.t1w.path, is_phase=False).problem
        if problem:
            yield f"{problem} (or leave it out with --bids-filter-file)"


#: Checks of one run, in the order of the list that the user sees; a new one is added here.
RUN_CHECKS: tuple[Callable[[GreRun], Iterator[str]], ...] = (
    clashes,
    no_phase,
    echo_gaps,
    echo_times,
    coils,
    field_strength,
    b0_direction,
    images,
    anatomical,
)


def preflight(
    subjects: Sequence[Subject], bids_dir: Path, output_dir: Path, participants: Sequence[str] = ()
) -> list[str]:
    """Return a sentence for everything that is wrong; none means go."""
    runs = [run for subject in subjects for run in subject.runs]
    problems = list(_output_problems(bids_dir, output_dir))
    if not runs:
        problems.append(_nothing_found(bids_dir, subjects))
    else:
        problems += [
            f"participant {subject.label!r} has no gradient-echo images (MEGRE or T2starw) in this selection"
            for subject in subjects
            if subject.label in participants and not subject.runs
        ]
    for name, count in Counter(run.basename for run in runs).items():
        if count > 1:
            problems.append(f"{name}: {count} images of different suffix would give the same output names; keep one")
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda run: [problem for check in RUN_CHECKS for problem in check(run)], runs)
        return list(dict.fromkeys([*problems, *(problem for one in found for problem in one)]))


def _output_problems(bids_dir: Path, output_dir: Path) -> Iterator[str]:
    bids, out = bids_dir.resolve(), output_dir.resolve()
    proposal = f"use {bids_dir}/derivatives/qsm or another"
    if out == bids:
        yield f"the output directory is the BIDS directory itself; {proposal}"
    elif bids in out.parents and out.relative_to(bids).parts[0].startswith(("sub-", "sourcedata")):
        yield f"the output directory {output_dir} lies among the input data; {proposal}"
    existing = next(path for path in (output_dir, *output_dir.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield f"the output directory {output_dir} cannot be written; choose another or change its rights"
    elif out != bids and not _is_ours(output_dir):
        yield f"the output directory {output_dir} holds another dataset, which would be spoiled; choose another"


def _is_ours(output_dir: Path) -> bool:
    """Return whether a folder is free of other datasets."""
    try:
        content = json.loads((output_dir / "dataset_description.json").read_text(encoding="utf-8"))
        makers = [maker.get("Name") for maker in content.get("GeneratedBy", [])]
    except FileNotFoundError:
        return True
    except (OSError, ValueError, AttributeError):
        return False
    return "qsm-bids-app" in makers


def _nothing_found(bids_dir: Path, subjects: Sequence[Subject]) -> str:
    text = f"{bids_dir}: no gradient-echo phase found (MEGRE or T2starw with part-phase) for this selection"
    patterns = [f"sub-{s.label}/{folder}fmap/*_fieldmap.nii*" for s in subjects[:20] for folder in ("", "*/")]
    if any(next(bids_dir.glob(pattern), None) for pattern in patterns):
        text += "; there are field maps (fmap/*_fieldmap), but the app starts from the phase of a gradient echo"
    return text


def remarks(run: GreRun) -> Iterator[str]:
    """Yield what the user should know about a run that can be processed."""
    if run.b0_dir is not None:
        import nibabel

        image: Any = nibabel.load(_files(run.echoes[0])[0])
        axis = (image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)).T @ (0.0, 0.0, 1.0)
        given = np.asarray(run.b0_dir, float) / np.linalg.norm(run.b0_dir)
        angle = math.degrees(math.acos(min(1.0, abs(float(given @ axis)))))  # the field's sense makes no difference
        if angle > _B0_ANGLE:
            yield f"B0_dir of the sidecar is used; it is {angle:.0f} degrees off the direction by the affine"
