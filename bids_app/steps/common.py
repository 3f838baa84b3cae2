"""What the steps over a gradient-echo run share: its files, grid and data."""

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


def load_echoes(run: GreRun) -> tuple[Any, Any, list[str]]:
    """Return magnitude and phase of all echoes, echoes first, and notes on what was done to the phase."""
    from bids_app.qsm.phase import to_radians

    if run.echoes[0].phase is None:
        signal = [read_image(e.real)[0] + 1j * read_image(e.imag)[0] for e in run.echoes if e.real and e.imag]
        data = np.nan_to_num(np.stack(signal))
        return (
            np.abs(data).astype(np.float32),
            np.angle(data).astype(np.float32),
            ["phase is that of real and imaginary"],
        )
    stored = np.stack([read_image(e.phase)[0] for e in run.echoes if e.phase])
    metadata = run.echoes[0].metadata
    scaled = to_radians(stored, units=metadata.get("Units"), manufacturer=str(metadata.get("Manufacturer", "")))
    if all(e.magnitude for e in run.echoes):
        magnitude = np.nan_to_num(np.stack([read_image(e.magnitude)[0] for e in run.echoes if e.magnitude]))
    else:
        magnitude = np.ones_like(scaled.phase)
    return magnitude, scaled.phase, [scaled.note]
