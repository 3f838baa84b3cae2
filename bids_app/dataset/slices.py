"""Runs that are computed slice by slice: a few slices, or slices with gaps as wide as themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bids_app.dataset.images import shape_of
from bids_app.model.records import GreRun, Subject

#: Voxels along every axis that a map can be made from.
MIN_VOXELS = 3
#: Distance between slices, relative to their thickness, from which on half of the object is not measured.
WIDE_GAP = 2.0


def with_slices(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Return subjects whose runs know along which axis they are computed slice by slice (None: as a volume)."""
    return tuple(
        replace(s, runs=tuple(replace(run, slice_axis=slice_axis_of(run)) for run in s.runs)) for s in subjects
    )


def slice_axis_of(run: GreRun) -> int | None:
    """Return the axis of the slices of a run that is no volume; None for a volume, and where no slices can be found."""
    path = next((echo.phase or echo.real for echo in run.echoes if echo.phase or echo.real), None)
    if path is None or not run.starts_from_phase:
        return None
    shape = shape_of(path)
    thin = [axis for axis, count in enumerate(shape) if count < MIN_VOXELS]
    if len(shape) < 3 or len(thin) > 1:
        return None
    if thin:
        return thin[0]
    metadata = run.echoes[0].metadata
    spacing, thickness = metadata.get("SpacingBetweenSlices"), metadata.get("SliceThickness")
    if not (isinstance(spacing, int | float) and isinstance(thickness, int | float)):
        return None
    if metadata.get("MRAcquisitionType") != "2D" or not 0 < WIDE_GAP * thickness <= spacing:
        return None
    axis = "ijk".find(str(metadata.get("SliceEncodingDirection", "k"))[:1] or "k")
    return axis if axis >= 0 else 2


def few_slices(run: GreRun) -> Iterator[str]:
    """A run is a volume, or has slices: background fields and the inversion need neighbours in all three directions."""
    path = next((p for echo in run.echoes for p in (echo.phase, echo.real, echo.magnitude) if p), None)
    shape = shape_of(path) if path is not None else ()
    if shape and min(shape) < MIN_VOXELS and run.slice_axis is None:
        yield (
            f"{run.basename}: has {' x '.join(map(str, shape))} voxels; susceptibility needs a volume of at "
            f"least {MIN_VOXELS} slices (many more are better): leave this run out with --bids-filter-file"
        )


def slices_remark(run: GreRun) -> Iterator[str]:
    """Yield what a run that is no volume gives, and what it cannot give."""
    if run.slice_axis is None:
        return
    path = next(p for echo in run.echoes for p in (echo.phase, echo.real) if p)
    count = int(np.asarray(shape_of(path))[run.slice_axis])
    what = (
        f"{count} slice{'s' if count > 1 else ''}" if count < MIN_VOXELS else "slices with gaps as wide as themselves"
    )
    yield (
        f"the run has {what}: there is no susceptibility map, because the field of a source reaches through a volume; "
        "field, mask, R2* and SWI are computed slice by slice"
    )
