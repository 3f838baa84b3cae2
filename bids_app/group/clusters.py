"""Peaks and clusters of a map of t, as a table."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Row = dict[str, object]


def peak(t: Float32, affine: Float64) -> Row:
    """Return the largest t (by size) of an image and where it is, mm."""
    where = np.unravel_index(int(np.argmax(np.abs(t))), t.shape)
    x, y, z = (affine @ [*where, 1.0])[:3]
    return {"peak_t": float(t[where]), "peak_x": float(x), "peak_y": float(y), "peak_z": float(z)}


def _size(row: Row) -> tuple[float, float]:
    """Order clusters by voxels, then by the height of their peak."""
    voxels, top = row["voxels"], row["peak_t"]
    assert isinstance(voxels, int) and isinstance(top, float)
    return -voxels, -abs(top)


def clusters(
    t: Float32, affine: Float64, labels: npt.NDArray[np.generic] | None, names: Mapping[int, str]
) -> list[Row]:
    """Return a row for every cluster of voxels that are not 0, the largest first."""
    volume = float(abs(np.linalg.det(affine[:3, :3])))
    rows: list[Row] = []
    for sign in (1, -1):
        numbered, _ = ndimage.label(sign * t > 0, np.ones((3, 3, 3), int))
        for number, place in enumerate(ndimage.find_objects(numbered), start=1):
            inside = numbered[place] == number
            moved = affine.copy()
            moved[:3, 3] = (affine @ [*(p.start for p in place), 1.0])[:3]
            count = int(inside.sum())
            row: Row = {"voxels": count, "volume_mm3": count * volume, "region": None, "region_fraction": None}
            if labels is not None and (labelled := labels[place][inside]).any():
                index, votes = np.unique(labelled[labelled > 0], return_counts=True)
                row["region"] = names.get(int(index[votes.argmax()]), str(index[votes.argmax()]))
                row["region_fraction"] = float(votes.max() / count)
            rows.append(row | peak(np.where(inside, t[place], 0), moved))
    rows.sort(key=_size)
    return [{"cluster": number} | row for number, row in enumerate(rows, start=1)]
