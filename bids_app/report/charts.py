"""Charts: histogram of the map, values of regions, time and memory of the steps."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bids_app.derivatives.tsv import table_rows
from bids_app.model.step_record import StepRecord
from bids_app.report.pictures import COLOURS, Picture, chart, picture
from bids_app.report.slices import Array

#: So many regions go on one chart at most; what is larger in volume comes first.
_REGIONS = 40


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a TSV table as texts."""
    return table_rows(path)


def number(text: str | None) -> float:
    """Return the number of a table's cell, NaN for ``n/a``."""
    try:
        return float(text) if text is not None else math.nan
    except ValueError:
        return math.nan


def histogram(values: Array) -> Picture:
    """Draw the distribution of susceptibility inside the valid mask (ppm)."""
    low, high = -0.3, 0.4
    figure, axes = chart(9.4, 3.0)
    # Filled as one outline: 140 bars would take ten times as long to draw.
    axes.hist(np.clip(values, low, high), bins=140, range=(low, high), color=COLOURS[1], histtype="stepfilled")
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.set_xlabel("susceptibility (ppm); the outermost bars include all values beyond")
    axes.set_ylabel("voxels")
    figure.tight_layout()
    p5, middle, p95 = (float(v) for v in np.percentile(values, (5, 50, 95)))
    return picture(
        figure,
        "Histogram",
        f"Median {middle:.3f} ppm; 90 % of the voxels lie between {p5:.3f} and {p95:.3f} ppm.",
        f"Histogram of the susceptibility of {values.size} voxels: median {middle:.3f} ppm, 5th percentile {p5:.3f}, "
        f"95th percentile {p95:.3f}.",
    )


def regions(rows: Sequence[Mapping[str, str]], name: str) -> Iterator[Picture]:
    """Draw median and 5th to 95th percentile of every region of a table; nothing where no region has a value."""
    known = [row for row in rows if math.isfinite(number(row.get("chi_median")))]
    known = sorted(known, key=lambda row: -number(row.get("volume_mm3")))[:_REGIONS]
    known.sort(key=lambda row: (row["name"], row.get("hemisphere", "")))
    if not known:
        return
    figure, axes = chart(9.4, 0.9 + 0.24 * len(known))
    for place, row in enumerate(reversed(known)):
        low, middle, high = (number(row.get(f"chi_{part}")) for part in ("p05", "median", "p95"))
        colour = {"L": COLOURS[1], "R": COLOURS[0]}.get(row.get("hemisphere", ""), "#555555")
        axes.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt")
        axes.plot([middle], [place], marker="o", color=colour, markersize=5)
    axes.set_yticks(range(len(known)), [_label(row) for row in reversed(known)], fontsize=8)
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_xlabel("susceptibility (ppm)")
    axes.set_ylim(-0.7, len(known) - 0.3)
    figure.tight_layout()
    left_out = len(rows) - len(known)
    more = f" {left_out} smaller or empty regions are in the table only." if left_out else ""
    spoken = "; ".join(f"{_label(row)} {number(row.get('chi_median')):.3f}" for row in known[:12])
    yield picture(
        figure,
        f"Regions of {name}",
        f"Median (dot) and 5th to 95th percentile (bar): left blue, right orange.{more}",
        f"Chart of the susceptibility of {len(known)} regions of {name}; medians in ppm: {spoken}.",
    )


def _label(row: Mapping[str, str]) -> str:
    side = row.get("hemisphere", "n/a")
    return row["name"] if side in ("", "n/a") else f"{row['name']} {side}"


def durations(records: Sequence[StepRecord]) -> Picture | None:
    """Draw time and peak memory of every step; None where there is none."""
    if not records:
        return None
    names = [record.step for record in records][::-1]
    seconds = [record.duration_s for record in records][::-1]
    memory = [record.peak_memory_bytes / 1e9 for record in records][::-1]
    figure, axes = chart(9.4, 0.9 + 0.28 * len(names))
    axes.remove()
    for place, (values, unit, colour) in enumerate(
        ((seconds, "time (s)", COLOURS[1]), (memory, "peak memory (GB)", COLOURS[0])), start=1
    ):
        part = figure.add_subplot(1, 2, place)
        part.barh(names, values, color=colour)
        part.spines[["top", "right"]].set_visible(False)
        part.set_xlabel(unit)
        part.tick_params(labelsize=8)
        if place == 2:
            part.set_yticklabels([])
    figure.tight_layout()
    spoken = "; ".join(f"{n} {s:.1f} s, {m:.2f} GB" for n, s, m in zip(names, seconds, memory, strict=True))
    return picture(figure, "Time and memory", "Peak memory is that of the whole process up to then.", f"{spoken}.")
