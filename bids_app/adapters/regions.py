"""Statistics of maps over the regions of a segmentation; numpy alone.

Voxels outside the valid mask do not count, and zero is a value like any other.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bids_app.adapters.labels import Region

BoolArray = npt.NDArray[np.bool_]
LabelArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.float32]

#: In the order of the table's columns.
STATISTICS = ("mean", "std", "median", "mad", "min", "max", "p05", "p95")


def erode(labels: LabelArray, times: int) -> LabelArray:
    """Return the labels without the outermost ``times`` layers (six face neighbours) of every region, all at once.

    A voxel stays when its six neighbours have its own label; the image's border counts as outside.
    """
    result = labels
    for _ in range(times):
        padded = np.pad(result, 1)
        keep = np.ones(result.shape, bool)
        for axis in range(3):
            for shift in (0, 2):
                window = [slice(1, -1)] * 3
                window[axis] = slice(shift, shift + result.shape[axis])
                keep &= padded[tuple(window)] == result
        result = np.where(keep, result, 0)
    return result


def statistics(
    labels: LabelArray,
    regions: Mapping[int, Region],
    maps: Mapping[str, FloatArray],
    valid: BoolArray,
    voxel_volume: float,
    erosion: int = 0,
) -> list[dict[str, object]]:
    """Return one row for every region, in the order of their numbers.

    Parameters
    ----------
    labels : integers, ``[x, y, z]``
        Segmentation; 0 is no region.
    regions : mapping
        The regions to list; one without a voxel gets a row too (volume 0, statistics None).
    maps : mapping
        ``chi`` in ppm, and ``r2star`` in 1/s where there is one, on the grid of the labels.
    valid : bool, ``[x, y, z]``
        Where the maps are valid.
    voxel_volume : float
        mm3.
    erosion : int
        Voxels to erode each region by before the statistics (not for its volume and valid fraction).

    Raises
    ------
    ValueError
        If shapes differ.
    """
    for name, data in {"valid mask": valid, **maps}.items():
        if data.shape != labels.shape:
            raise ValueError(f"{name} has shape {data.shape}, the labels have {labels.shape}")
    whole = np.bincount(labels.ravel(), minlength=1)
    inside = np.bincount(labels[valid].ravel(), minlength=1)
    kept = np.where(valid, erode(labels, erosion), 0).ravel()
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.argsort(kept[chosen], kind="stable")]
    numbers = kept[chosen]
    rows = []
    for index, region in sorted(regions.items()):
        total = int(whole[index]) if index < len(whole) else 0
        covered = int(inside[index]) if index < len(inside) else 0
        where = chosen[slice(*np.searchsorted(numbers, (index, index + 1)))]
        row: dict[str, object] = {
            "index": index,
            "name": region.name,
            "hemisphere": region.hemisphere,
            "volume_mm3": total * voxel_volume,
            "region_voxels": total,
            "voxels": int(where.size),
            "valid_fraction": covered / total if total else None,
            "erosion_voxels": erosion,
        }
        for name, data in maps.items():
            row |= {f"{name}_{key}": value for key, value in _summary(data.ravel()[where]).items()}
        rows.append(row)
    return rows


def _summary(values: FloatArray) -> dict[str, float | None]:
    values = values[np.isfinite(values)].astype(np.float64)
    if not values.size:
        return dict.fromkeys(STATISTICS)
    low, median, high = np.percentile(values, (5, 50, 95))
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if values.size > 1 else None,
        "median": float(median),
        "mad": float(np.median(np.abs(values - median))),
        "min": float(values.min()),
        "max": float(values.max()),
        "p05": float(low),
        "p95": float(high),
    }
