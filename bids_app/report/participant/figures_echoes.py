"""The figure of a run's echoes as they are stored."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bids_app.model.records import Echo
from bids_app.report.participant.volumes import Maps, first_volume
from bids_app.report.pictures import Layer, Picture, grid, picture, window_of
from bids_app.report.slices import Array, stored_box

#: So many echoes are shown at most.
_ECHOES = 6


def echoes(maps: Maps) -> Iterator[Picture]:
    """Magnitude and wrapped phase of the echoes."""
    source = maps.run.source
    if source is None:
        return
    chosen = [source.echoes[k] for k in np.unique(np.linspace(0, len(source.echoes) - 1, _ECHOES).round().astype(int))]
    middle = maps.whole.centre[2]
    slab = (*maps.whole.box[:2], slice(middle, middle + 1))
    stored = stored_box(slab, maps.shape, maps.affine)
    which = ", of the first coil" if source.coils > 1 else ""
    rows: list[list[tuple[Layer, str, int | None]]] = []
    for kind, paths in _parts(chosen).items():
        row: list[tuple[Layer, str, int | None]] = []
        limits: tuple[float, float] | None = None
        for echo, path in zip(chosen, paths, strict=True):
            if limits is None:  # they are those of the first echo as a whole; of the others a slice is enough
                data = maps.oriented(first_volume(path, source.coils))
                limits = window_of(data, None, 0.5, 99.5) if kind == "magnitude" else _full(data)
                data = data[slab].copy()
            else:
                data = maps.oriented(first_volume(path, source.coils, stored))
            shade = "gray" if kind == "magnitude" else "twilight"
            name = f"{kind}, {1000 * echo.echo_time:.1f} ms" if echo.echo_time else kind
            row.append((Layer(data, limits, name, "as stored", shade), "axial", 0))
        rows.append(row)
    if rows:
        yield picture(
            grid(rows, maps.frame),
            "Echoes",
            f"One axial slice of every echo as stored{which}. The magnitude should fade smoothly with echo time. The "
            "phase should show bands that get denser with echo time, without grain inside the brain and without "
            "open-ended lines.",
            f"Axial slices of {len(chosen)} echoes: {' and '.join(_parts(chosen))}.",
        )


def _parts(chosen: Sequence[Echo]) -> dict[str, list[Path]]:
    kinds = ("magnitude", "phase") if chosen[0].phase is not None else ("real", "imag")
    return {kind: [getattr(e, kind) for e in chosen] for kind in kinds if all(getattr(e, kind) for e in chosen)}


def _full(data: Array) -> tuple[float, float]:
    low, high = float(np.nanmin(data)), float(np.nanmax(data))
    return (low, high) if high > low else (low, low + 1)
