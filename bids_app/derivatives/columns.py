"""Columns of the tables of regions: the BIDS data dictionary that goes with every one of them."""

from typing import Any

_STATISTICS = {
    "mean": "Mean of {}",
    "std": "Standard deviation of {} (sample: divided by n - 1)",
    "median": "Median of {}",
    "mad": "Median absolute deviation of {} from its median (not scaled)",
    "min": "Minimum of {}",
    "max": "Maximum of {}",
    "p05": "5th percentile of {}",
    "p95": "95th percentile of {}",
}
_MAPS = {"chi": ("magnetic susceptibility", "ppm"), "r2star": ("the transverse relaxation rate R2*", "1/s")}


def _columns() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "index": {"Description": "Value of the label in the segmentation"},
        "name": {"Description": "Name of the region, without its side"},
        "hemisphere": {"Description": "Side", "Levels": {"L": "left", "R": "right"}},
        "volume_mm3": {"Description": "Volume of the whole region, before erosion and mask", "Units": "mm^3"},
        "region_voxels": {"Description": "Voxels of the whole region"},
        "voxels": {"Description": "Voxels that the statistics are made of: after erosion, inside the valid mask"},
        "valid_fraction": {"Description": "Part of the whole region that lies inside the valid mask, 0 to 1"},
        "erosion_voxels": {"Description": "Voxels by which the region was eroded (faces) before the statistics"},
    }
    for name, (what, unit) in _MAPS.items():
        for statistic, text in _STATISTICS.items():
            found[f"{name}_{statistic}"] = {"Description": text.format(what), "Units": unit}
    return found


#: One row for every region of a run; the group's tables start with the run's entities.
REGION_COLUMNS: dict[str, dict[str, Any]] = _columns()
