"""How far every run's regional values are from those of the cohort."""

from typing import TYPE_CHECKING

import numpy as np

from bids_app.group.statistics import MEASURES, Row, keys_of, words_of

if TYPE_CHECKING:
    import pandas as pd


def outliers(data: "pd.DataFrame", threshold: float = 3.5) -> tuple[list[Row], list[str]]:
    """Return how far every run's regional values are from the cohort's, a row for every run and measure.

    Robust z: distance from the median in units of 1.4826 times the median absolute deviation (Iglewicz & Hoaglin
    1993); None where fewer than five runs have the region, or they are all the same.
    """
    rows: list[Row] = []
    sentences = []
    for measure in (name for name in MEASURES if name in data):
        z = data.groupby(keys_of(data), dropna=False)[measure].transform(robust_z)
        for _, part in data.assign(z=z).groupby([*(["space"] if "space" in data else []), "run"], sort=True):
            row = _distance(part, measure, threshold)
            rows.append(row)
            if row["flagged"] and measure in ("chi_mean", "r2star_mean"):
                sentences.append(
                    f"{row['run']}: {measure} is far from the values of the other runs in {row['regions_flagged']} of "
                    f"{row['regions']} regions, farthest in {row['worst_region']} (robust z {row['worst_z']:.1f}). The "
                    "run stays in all tables and models"
                )
    return rows, sentences


def _distance(part: "pd.DataFrame", measure: str, threshold: float) -> Row:
    first = part.iloc[0]
    known = part.dropna(subset=["z"])
    z = known["z"].to_numpy(np.float64)
    worst = known.iloc[int(np.argmax(np.abs(z)))] if z.size else None
    flagged = int((np.abs(z) > threshold).sum())
    return {
        "participant_id": first["participant_id"],
        "session_id": first["session_id"] if isinstance(first["session_id"], str) else None,
        "run": first["run"],
        **({"space": first["space"]} if "space" in part else {}),
        "measure": measure,
        "regions": int(z.size),
        "regions_flagged": flagged,
        "flagged": flagged > 0,
        "worst_region": None if worst is None else words_of(worst),
        "worst_z": None if worst is None else float(worst["z"]),
    }


def robust_z(values: "pd.Series[float]") -> "pd.Series[float]":
    """Return robust z values."""
    known = values.dropna()
    spread = 1.4826 * float((known - known.median()).abs().median()) if len(known) >= 5 else 0.0
    return (values - known.median()) / spread if spread > 0 else values * np.nan
