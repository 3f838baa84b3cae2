"""What the steps over a gradient-echo run share: its files, grid and data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_grid, read_image
from bids_app.qsm.geometry import Grid


def echo_files(run: GreRun, settings: Any = None) -> dict[str, Path]:
    """Return the images of all echoes by name: ``magnitude1``, ``phase1``, ``magnitude2`` ..."""
    parts = ("magnitude", "phase", "real", "imag")
    found = {(f"{part}{echo.number}"): getattr(echo, part) for echo in run.echoes for part in parts}
    return {name: path for name, path in found.items() if path is not None}


def like_of(run: GreRun) -> Path:
    """Return an image whose affine the run's maps take."""
    return next(iter(echo_files(run).values()))


def grid_of(run: GreRun, shape: tuple[int, ...]) -> Grid:
    """Return the sampling of the run; B0 in voxel axes is the sidecar's ``B0_dir``, or follows from the affine."""
    grid = Grid.from_affine(shape, read_grid(like_of(run))[1])
    return replace(grid, b0_dir=run.b0_dir) if run.b0_dir else grid


def _stack(paths: Sequence[Path]) -> Any:
    """Return images stacked along a new first axis; one image at a time is in memory twice."""
    first = read_image(paths[0])[0]
    out = np.empty((len(paths), *first.shape), np.float32)
    out[0] = first
    del first
    for place, path in enumerate(paths[1:], start=1):
        out[place] = read_image(path)[0]
    return out


def _finite(array: Any) -> Any:
    """Set what is not finite to 0, in place."""
    for part in array:
        good = np.isfinite(part)
        if not good.all():
            part[~good] = 0
    return array


def load_echoes(run: GreRun) -> tuple[Any, Any, list[str]]:
    """Return magnitude and phase of all echoes, echoes first, and notes on what was done to the phase."""
    from bids_app.qsm.phase import to_radians

    if run.echoes[0].phase is None:
        magnitude = _finite(_stack([e.real for e in run.echoes if e.real]))
        phase = _finite(_stack([e.imag for e in run.echoes if e.imag]))
        for real, imag in zip(magnitude, phase, strict=True):
            strength = np.hypot(real, imag)
            np.arctan2(imag, real, out=imag)
            real[...] = strength
        return magnitude, phase, ["phase is that of real and imaginary"]
    metadata = run.echoes[0].metadata
    units, manufacturer = metadata.get("Units"), str(metadata.get("Manufacturer", ""))
    scaled = to_radians(_stack([e.phase for e in run.echoes if e.phase]), units=units, manufacturer=manufacturer)
    if all(e.magnitude for e in run.echoes):
        magnitude = _finite(_stack([e.magnitude for e in run.echoes if e.magnitude]))
    else:
        magnitude = np.ones_like(scaled.phase)
    return magnitude, scaled.phase, [scaled.note]
