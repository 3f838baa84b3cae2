"""One map of all participants, read one after the other: what is in memory does not grow with their number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.derivatives.files import read_image

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

#: Values that one slab of all participants may hold.
_SLAB_VALUES = 1 << 21
_FWHM = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True)
class Values:
    """Maps and masks of every participant's runs, on one grid; a participant's value is the mean of the runs."""

    people: Mapping[str, Sequence[tuple[Path, Path]]]
    shape: tuple[int, ...]
    #: Full width at half maximum of a Gaussian in voxels, inside the mask; 0 none.
    smoothing: float = 0.0

    def each(self) -> Iterator[tuple[Float32, Bool]]:
        """Give every participant's values and where they are valid."""
        for runs in self.people.values():
            total, count = np.zeros(self.shape, np.float64), np.zeros(self.shape, np.int32)
            for image, mask in runs:
                valid = read_image(mask)[0] > 0
                total += np.where(valid, np.nan_to_num(read_image(image)[0]), 0)
                count += valid
            values, inside = (total / np.maximum(count, 1)).astype(np.float32), count > 0
            yield self._smooth(values, inside), inside

    def _smooth(self, values: Float32, inside: Bool) -> Float32:
        if not self.smoothing:
            return values
        sigma = self.smoothing / _FWHM
        # Voxels without a value give their weight to the others.
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, mode="constant")
        blurred = ndimage.gaussian_filter(np.where(inside, values, 0).astype(np.float32), sigma, mode="constant")
        return np.where(inside, blurred / np.maximum(weight, 1e-6), 0).astype(np.float32)

    def store(self, mask: Bool, path: Path) -> "Stored":
        """Write all values in a mask to a file (NaN where a participant has none)."""
        with path.open("wb") as file:
            for values, valid in self.each():
                np.where(valid, values, np.nan)[mask].astype(np.float32).tofile(file)
        return Stored(path, len(self.people), int(mask.sum()))


@dataclass(frozen=True)
class Stored:
    """Values of all participants in a mask, in a file: participants first."""

    path: Path
    people: int
    voxels: int

    def slabs(self, values: int = _SLAB_VALUES) -> Iterator[tuple[slice, Float32]]:
        """Give a range of voxels and its values, ``[participants, voxels]``; ``values`` bounds their number."""
        width = max(1, values // max(self.people, 1))
        for start in range(0, self.voxels, width):
            stop = min(start + width, self.voxels)
            slab = np.empty((self.people, stop - start), np.float32)
            for number in range(self.people):
                offset = 4 * (number * self.voxels + start)
                slab[number] = np.fromfile(self.path, np.float32, stop - start, offset=offset)
            yield slice(start, stop), slab

    def summary(self) -> dict[str, Float32]:
        """Return mean, median and standard deviation (sample) of every voxel over those who have a value."""
        flat = {name: np.zeros(self.voxels, np.float32) for name in ("mean", "median", "sd")}
        for part, slab in self.slabs():
            known = np.isfinite(slab).sum(axis=0)
            flat["mean"][part] = np.nanmean(slab, axis=0, dtype=np.float64)
            flat["median"][part] = np.nanmedian(slab, axis=0)
            deviation = np.nansum((slab - flat["mean"][part]) ** 2, axis=0, dtype=np.float64)
            flat["sd"][part] = np.sqrt(deviation / np.maximum(known - 1, 1))
        return flat


def in_mask(values: npt.NDArray[np.generic], mask: Bool) -> Float32:
    """Return an image of values given in a mask, 0 outside; several along the first axis become volumes."""
    many = np.atleast_2d(values)
    image = np.zeros((*mask.shape, len(many)), np.float32)
    for number, volume in enumerate(many):
        image[..., number][mask] = volume
    return image[..., 0] if values.ndim == 1 or len(many) == 1 else image
