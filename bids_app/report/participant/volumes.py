"""The volumes of a run as its figures show them."""

from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_grid, read_image, read_mask, read_volumes
from bids_app.report.participant.collect import Run
from bids_app.report.pictures import window_of
from bids_app.report.slices import Array, Frame, frame, inside_box, ras_affine, stored_box, to_ras

#: Maps that several figures show: they are read once and kept, the others would only fill the memory.
_SHOWN_OFTEN = frozenset({"chimap", "t1w_on_gre"})


class Maps:
    """The volumes of a run in RAS axes, read when a figure needs them: no more of them than the box that is shown."""

    def __init__(self, run: Run):
        self.run = run
        path = run.path("magnitude")
        stored = path or stored_image(run)  # where the first step failed, what the scanner gave is all that there is
        if stored is None:
            raise FileNotFoundError(f"{run.basename}: no image")
        self.affine = read_grid(stored)[1]
        data = first_volume(stored, 1 if path is not None or run.source is None else run.source.coils)
        magnitude, self.voxel_size = to_ras(data, self.affine)
        self.window = window_of(magnitude)
        mask_path = run.path("mask_brain")
        if mask_path is not None:
            mask = self.oriented(read_mask(mask_path))
        elif path is not None:
            mask = magnitude > self.window[1] / 4
        else:
            mask = np.ones(magnitude.shape, bool)
        self.shape = magnitude.shape
        self.whole: Frame = frame(mask, self.voxel_size, affine=ras_affine(self.affine, data.shape))
        self.box = stored_box(self.whole.box, self.shape, self.affine)
        # Copies, as views would keep the whole arrays.
        self.magnitude, self.mask = magnitude[self.whole.box].copy(), mask[self.whole.box].copy()
        self.frame = inside_box(self.whole)
        self._kept: dict[str, Array] = {}

    def get(self, key: str) -> Array | None:
        """Return a product's box in RAS axes, None where there is none."""
        path = self.run.path(key)
        if path is None or key in self._kept:
            return self._kept.get(key)
        data = self.oriented(read_image(path, self.box)[0])
        if key in _SHOWN_OFTEN:
            self._kept[key] = data
        return data

    def inside(self, key: str) -> Array | None:
        """Return the box of a mask, None where there is none."""
        path = self.run.path(key)
        if path is None:
            return None
        return self.mask if key == "mask_brain" else self.oriented(read_mask(path))[self.whole.box]

    def oriented(self, data: Array) -> Array:
        """Return an array on the run's grid in RAS axes."""
        return to_ras(data, self.affine)[0]

    def labels(self, key: str) -> Array:
        """Return the whole of a segmentation that is there: labels may lie beyond the box."""
        path = self.run.path(key)
        if path is None:
            raise FileNotFoundError(f"{self.run.basename}: no {key}")
        return self.oriented(np.rint(read_image(path)[0]))


def stored_image(run: Run) -> Path | None:
    """Return the first image of the run in the dataset."""
    echo = run.source.echoes[0] if run.source is not None and run.source.echoes else None
    return next((path for part in ("magnitude", "phase", "real") if (path := getattr(echo, part, None))), None)


def first_volume(path: Path, coils: int, box: tuple[slice, ...] = ()) -> Array:
    """Return a stored image or the box of it; the first coil's of several."""
    if coils == 1:
        return read_image(path, box)[0]
    first = next(read_volumes(path))
    return first[box] if box else first
