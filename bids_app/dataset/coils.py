"""How many receive coils the images of a run hold."""

from collections.abc import Sequence
from dataclasses import replace

from bids_app.dataset.images import volumes_of
from bids_app.model.records import GreRun, Subject


def with_coils(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Return subjects whose runs know how many coils their images hold, by the header of the first phase."""
    return tuple(replace(s, runs=tuple(_counted(run) for run in s.runs)) for s in subjects)


def _counted(run: GreRun) -> GreRun:
    echo = run.echoes[0]
    path = next((path for path in (echo.phase, echo.real) if path is not None), None)
    return run if path is None else replace(run, coils=volumes_of(path))
