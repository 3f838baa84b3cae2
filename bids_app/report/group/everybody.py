"""One slice of everybody's susceptibility map, side by side: who is tilted, cut, noisy or empty stands out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image
from bids_app.derivatives.names import product_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.errors import QsmAppError
from bids_app.model.naming import entities_in
from bids_app.report.pictures import CHI_WINDOW, Picture, picture
from bids_app.report.slices import Array, cut, frame, to_ras

#: Maps in a row and in a picture; inches of the whole width, of a name.
_COLUMNS, _IN_PICTURE, _WIDTH, _NAME = 8, 64, 9.4, 0.2


def map_of(run: str, output_dir: Path) -> Path:
    """Return where a run's susceptibility map lies."""
    return product_path(PRODUCTS["chimap"], dict(entities_in(run)), output_dir, output_dir)


def pictures(runs: Sequence[str], output_dir: Path) -> list[Picture]:
    """Return pictures with one axial slice of every run's map, through the middle of what has a value."""
    slices: list[tuple[str, Array, float]] = []
    lost = []
    for run in runs:
        try:
            slices.append((run, *_slice(map_of(run, output_dir))))
        except (QsmAppError, OSError, ValueError):
            lost.append(run)
    parts = range(0, len(slices), _IN_PICTURE)
    return [_mosaic(slices[start : start + _IN_PICTURE], start, len(slices), lost) for start in parts]


def _slice(path: Path) -> tuple[Array, float]:
    data, affine = read_image(path)
    volume, voxel_size = to_ras(data, affine)
    image, aspect = cut(volume, frame(volume != 0, voxel_size), "axial")
    return np.where(image != 0, image, np.float32(np.nan)), aspect


def _mosaic(slices: Sequence[tuple[str, Array, float]], start: int, total: int, lost: Sequence[str]) -> Picture:
    from bids_app.report.mosaic import Place, SliceMosaic

    width = _WIDTH / _COLUMNS
    height = 1.2 * width + _NAME
    mosaic = SliceMosaic(_WIDTH, height * -(-len(slices) // _COLUMNS))
    for number, (run, image, aspect) in enumerate(slices):
        row, column = divmod(number, _COLUMNS)
        place = Place(column * width, row * height + _NAME, width, height - _NAME)
        mosaic.slice(image, "gray", CHI_WINDOW, place.holding(image.shape, aspect))
        mosaic.write(_short(run), place.left + 0.04, row * height + 0.75 * _NAME, 7)
    low, high = CHI_WINDOW
    names = f"{start + 1} to {start + len(slices)} of {total}" if total > len(slices) else f"{total}"
    more = f" Without a readable map: {', '.join(lost[:20])}." if lost else ""
    return picture(
        mosaic.finish(),
        f"Susceptibility maps, {names}",
        f"One axial slice of every run through the middle of its map, {low} to {high} ppm, the person's left on the "
        f"right.{more}",
        f"Axial slices of the susceptibility maps of {', '.join(run for run, _, _ in slices)}.",
    )


def _short(run: str) -> str:
    return run if len(run) <= 20 else f"{run[:19]}\N{HORIZONTAL ELLIPSIS}"
