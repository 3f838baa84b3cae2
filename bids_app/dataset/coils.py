"""How many receive coils the images of a run hold: in the fourth dimension of a file, or in one file for each coil."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.dataset.images import volumes_of
from bids_app.model.records import Echo, GreRun, Subject

_COIL = re.compile(r"_coil-([a-zA-Z0-9+]+)(?=_)")


def coil_files(paths: Iterable[Path]) -> Mapping[Path, tuple[Path, ...]]:
    """Return, by the first of them, the files that differ by the entity ``coil`` alone, in the order of the coils.

    Files without the entity, and coils that are alone, are not there.
    """
    groups: dict[Path, list[tuple[tuple[int, str], Path]]] = {}
    for path in paths:
        match = _COIL.search(path.name)
        if match:
            label = match[1]
            order = (int(label) if label.isdecimal() else 0, label)
            groups.setdefault(path.with_name(_COIL.sub("", path.name)), []).append((order, path))
    sets = [tuple(path for _, path in sorted(group)) for group in groups.values() if len(group) > 1]
    return {files[0]: files for files in sets}


def with_coils(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Return subjects whose runs know how many coils there are: by their files, else by the header of the first one."""
    return tuple(replace(s, runs=tuple(_counted(run) for run in s.runs)) for s in subjects)


def _counted(run: GreRun) -> GreRun:
    if not run.echoes:
        return run
    echo = run.echoes[0]
    part = "phase" if echo.phase is not None else "real"
    files = echo.files(part)
    if not files:
        return run
    return replace(run, coils=len(files) if len(files) > 1 else volumes_of(files[0]))


def coils(run: GreRun) -> Iterator[str]:
    """Coils are weighed by their magnitudes, and all echoes and parts have the files of the same coils."""
    if run.coils > 1 and any(echo.phase and not echo.magnitude for echo in run.echoes):
        yield f"{run.basename}: coils are weighed by their magnitudes, which are not there; add part-mag with all coils"
    if not run.has_coil_files:
        return
    if run.coils == 1:
        yield (
            f"{run.basename}: the images are of single receive coils (coil- in their names); "
            "--set field.coils=combine combines them"
        )
        return
    yield from _differing(run)


def _differing(run: GreRun) -> Iterator[str]:
    expected = _labels(run.echoes[0], "phase" if run.echoes[0].phase else "real")
    for echo in run.echoes:
        for part in ("magnitude", "phase", "real", "imag"):
            labels = _labels(echo, part)
            if labels and labels != expected:
                odd = ", ".join(sorted(labels ^ expected))
                name = echo.files(part)[0].name
                yield f"{name}: the coils differ from those of the first echo's phase ({odd}); all have the same coils"


def _labels(echo: Echo, part: str) -> frozenset[str]:
    return frozenset(match[1] if (match := _COIL.search(path.name)) else "none" for path in echo.files(part))
