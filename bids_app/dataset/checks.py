"""Preflight: everything that is wrong with the input, listed at once, before anything is written."""

import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from bids_app.dataset.coils import coils
from bids_app.dataset.content_checks import contents
from bids_app.dataset.derived import given_units
from bids_app.dataset.file_names import file_names
from bids_app.dataset.filter_checks import filtered_content
from bids_app.dataset.image_checks import anatomical, field_maps, files_of, images, lead_of
from bids_app.dataset.metadata_checks import filtered_phase, metadata_values
from bids_app.dataset.separation import spin_echo
from bids_app.dataset.slices import few_slices
from bids_app.derivatives.presence import read_json_object
from bids_app.model.json_values import JsonValue
from bids_app.model.records import GreRun, Subject

#: An echo time above this many seconds is in ms by the look of it.
_LONGEST_ECHO_TIME = 0.5
#: No echo comes earlier than this many seconds.
_SHORTEST_ECHO_TIME = 1e-5
#: Echo times (s) that differ by no more are one: the conversion rounds to this, and sidecars keep the digits of DICOM.
ECHO_TIME_TOLERANCE = 1.0001e-5
#: Field strengths that differ by no more than this share are one.
FIELD_TOLERANCE = 1e-3
#: So many "echoes" at each echo time are images of single receiver coils.
_COILS = 4
#: So many missing echoes are named.
_NAMED = 10


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def clashes(run: GreRun) -> Iterator[str]:
    """Two files are one image by all entities that we know."""
    for name, other in run.clashes:
        if name.partition(".")[0] == other.partition(".")[0]:
            yield f"{name} and {other} are one image, plain and compressed; remove one of them"
            continue
        yield (
            f"{name} and {other} are the same echo and part: they differ by an entity that is not used here "
            "(single receive coils have coil-, or are the fourth dimension); keep one, or rename with acq- or run-"
        )


def no_phase(run: GreRun) -> Iterator[str]:
    """Every echo needs a phase, or real and imaginary parts, unless another dataset has the field."""
    if not run.starts_from_phase:
        return
    without = [echo for echo in run.echoes if echo.phase is None and not (echo.real and echo.imag)]
    if len(without) == len(run.echoes) and not any(echo.real or echo.imag for echo in without):
        name = files_of(without[0])[0].name
        yield (
            f"{name}: this run has no phase images; add part-phase (or part-real and part-imag), or leave it out "
            "with --bids-filter-file"
        )
        return
    for echo in without:
        name = files_of(echo)[0].name
        yield f"{name}: echo {echo.number} has no phase image; add part-phase, or part-real and part-imag"


def echo_gaps(run: GreRun) -> Iterator[str]:
    """Echoes have no gaps unless the user chose single ones; a magnitude is there for all of them or for none."""
    numbers = [echo.number for echo in run.echoes]
    lost = max(numbers) - len(set(numbers) - {0})
    if lost > 0 and not run.has_chosen_echoes:
        gaps = list(itertools.islice((n for n in itertools.count(1) if n not in numbers), min(lost, _NAMED)))
        shown = ", ".join(map(str, gaps)) + (f" and {lost - len(gaps)} more" if lost > len(gaps) else "")
        yield (
            f"{run.basename}: echo {shown} is missing; add its files, or choose the echoes that you want with "
            '--bids-filter-file ({"gre": {"echo": [1, 3]}})'
        )
    without = [echo.number for echo in run.echoes if echo.phase and not echo.magnitude]
    if 0 < len(without) < len(numbers):
        yield f"{run.basename}: echo {', '.join(map(str, without))} has a phase but no magnitude; add it"


def echo_times(run: GreRun) -> Iterator[str]:
    """Echo times are there, in seconds, differ, and are those of the magnitude too; a field map alone has none."""
    if not run.starts_from_phase and all(echo.echo_time is None for echo in run.echoes):
        return
    times = _distinct(
        [echo.echo_time for echo in run.echoes if echo.echo_time is not None and _is_number(echo.echo_time)]
    )
    if len(times) > 0 and len(run.echoes) / len(times) >= _COILS:
        yield (
            f"{run.basename}: {len(run.echoes)} echoes have just {len(times)} different EchoTimes: these look like "
            "images of single receive coils; keep one image per echo, with the coils as its fourth dimension, and give "
            "--set field.coils=combine"
        )
        return
    for echo in run.echoes:
        name, value = lead_of(echo).name, echo.echo_time
        if value is None:
            yield f"{name}: no EchoTime (in seconds) in its JSON sidecar or those above it; add it"
        elif not _is_number(value) or not value > 0:
            yield f"{name}: EchoTime is {value!r} in its JSON sidecars; set one positive number, in seconds"
        elif value > _LONGEST_ECHO_TIME:
            yield f"{name}: EchoTime {value} looks like milliseconds; BIDS wants seconds ({value / 1000})"
        elif value < _SHORTEST_ECHO_TIME:
            yield f"{name}: EchoTime {value} is too short for an echo; set it in seconds, for example 0.005"
        elif echo.magnitude_echo_time is not None and not _same_time(echo.magnitude_echo_time, value):
            yield f"{name}: EchoTime is {echo.magnitude_echo_time} for the magnitude and {value} for the phase"
    if max(times.values(), default=1) > 1:
        yield f"{run.basename}: two echoes have the same EchoTime; correct their JSON sidecars"
    numbers = [echo.number for echo in run.echoes]  # the echoes are in order of time
    in_range = all(_SHORTEST_ECHO_TIME <= time <= _LONGEST_ECHO_TIME for time in times)
    if in_range and times.total() == len(numbers) == len(times) and any(a > b for a, b in pairwise(numbers)):
        yield f"{run.basename}: EchoTime does not rise with the echo number; correct the names or the JSON sidecars"


def _same_time(value: JsonValue, other: float) -> bool:
    return _is_number(value) and abs(value - other) <= ECHO_TIME_TOLERANCE


def _distinct(values: Sequence[float]) -> Counter[float]:
    """Count values, those within the tolerance as one."""
    counts: Counter[float] = Counter()
    for value in sorted(values):
        same = next((known for known in counts if abs(known - value) <= ECHO_TIME_TOLERANCE), value)
        counts[same] += 1
    return counts


def field_strength(run: GreRun) -> Iterator[str]:
    """The field strength is there, in tesla, and one for all echoes."""
    value, name = run.field_strength, lead_of(run.echoes[0]).name
    if not _is_number(value) or not value or not 0.05 <= value <= 25:
        yield f"{name}: MagneticFieldStrength is {value!r} in its JSON sidecars; set it in tesla, for example 3"
    others = [echo.metadata.get("MagneticFieldStrength") for echo in run.echoes]
    if any(not _same_field(other, value) for other in others):
        values = ", ".join(sorted({str(other) for other in others}))
        yield f"{run.basename}: echoes have different MagneticFieldStrength ({values}); correct them"


def _same_field(value: JsonValue, other: JsonValue) -> bool:
    if not _is_number(value) or not _is_number(other):
        return bool(value == other)
    return bool(abs(value - other) <= FIELD_TOLERANCE * abs(other))


def b0_direction(run: GreRun) -> Iterator[str]:
    """``B0_dir`` of a sidecar is a direction."""
    value: JsonValue = run.b0_dir
    given = {json.dumps(echo.metadata.get("B0_dir")) for echo in run.echoes}
    if len(given) > 1:
        yield f"{run.basename}: echoes have different B0_dir ({', '.join(sorted(given))}) in their JSON sidecars"
    if value is None:
        return
    if len(value) != 3 or not all(map(_is_number, value)) or not 1e-3 <= max(map(abs, value)) <= 1e3:
        yield (
            f"{run.basename}: B0_dir is {list(value)!r} in its JSON sidecars; set three numbers, the direction of the "
            "main field along the image's voxel axes (the largest between 0.001 and 1000), or remove it: the affine "
            "gives the direction"
        )


#: Checks of one run, in the order of the list that the user sees; a new one is added here.
RUN_CHECKS: tuple[Callable[[GreRun], Iterator[str]], ...] = (
    file_names,
    clashes,
    no_phase,
    echo_gaps,
    echo_times,
    coils,
    field_strength,
    b0_direction,
    given_units,
    field_maps,
    metadata_values,
    filtered_phase,
    images,
    few_slices,
    contents,
    filtered_content,
    anatomical,
    spin_echo,
)


def without_magnitudes_alone(subjects: Sequence[Subject]) -> tuple[tuple[Subject, ...], list[str]]:
    """Leave out runs that have magnitudes alone, which no step needs; returns a sentence for each.

    Where no run has a phase they stay: then the check of the phase says what is missing.
    """
    unneeded = {
        run.basename
        for s in subjects
        for run in s.runs
        if run.starts_from_phase and not any(e.phase or e.real or e.imag for e in run.echoes)
    }
    if all(run.basename in unneeded for subject in subjects for run in subject.runs):
        return tuple(subjects), []
    kept = tuple(replace(s, runs=tuple(run for run in s.runs if run.basename not in unneeded)) for s in subjects)
    return kept, [f"{name}: skipped: it has no phase images, which QSM needs" for name in sorted(unneeded)]


def preflight(
    subjects: Sequence[Subject],
    bids_dir: Path,
    output_dir: Path,
    participants: Sequence[str] = (),
    needs_t1w: bool = True,
) -> list[str]:
    """Return a sentence for everything that is wrong; none means go. A T1w image that no step needs is not checked."""
    checks = RUN_CHECKS if needs_t1w else tuple(check for check in RUN_CHECKS if check is not anatomical)
    runs = [run for subject in subjects for run in subject.runs]
    problems = list(_output_problems(bids_dir, output_dir))
    if not runs:
        problems.append(_nothing_found(bids_dir))
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
        results = pool.map(lambda run: [problem for check in checks for problem in check(run)], runs)
        return list(
            dict.fromkeys([*problems, *(problem for problems_of_run in results for problem in problems_of_run)])
        )


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
    """Return whether a folder is free of other datasets; a description that cannot be read is another's."""
    description = output_dir / "dataset_description.json"
    if not os.path.lexists(description):
        return True
    makers = read_json_object(description).get("GeneratedBy")
    return isinstance(makers, list) and any(
        isinstance(maker, dict) and maker.get("Name") == "qsm-bids-app" for maker in makers
    )


def _nothing_found(bids_dir: Path) -> str:
    return (
        f"{bids_dir}: no gradient-echo phase (MEGRE, T2starw, T1w, MPM, VFA or multi-echo MP2RAGE with part-phase) "
        "and no field map (fmap/*_fieldmap) found for this selection"
    )
