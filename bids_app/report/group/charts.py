"""Charts of the group: where every run lies among all, regional values, effects, how the template converged."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from bids_app.report.charts import number
from bids_app.report.group.tables import Line, QcMetric, Region, Segmentation, label_of
from bids_app.report.group.terms import Groups, unit_of_term, words_of
from bids_app.report.svg import CHARACTER, Axis, Chart, Drawing, axis_of, short

#: Panels are this wide; the page puts as many in a row as fit.
_PANEL = 300.0
#: More runs than this are drawn as a box, and single dots only beyond the 5th and 95th percentile and where marked.
MANY = 250
#: So many regions go on one page; those with the largest volume first.
REGIONS = 40


#: What measures are called on axes.
_NAMES = {
    "chi_mean": "mean susceptibility",
    "chi_median": "median susceptibility",
    "r2star_mean": "mean R2*",
    "r2prime_mean": "mean R2'",
    "chi_paramagnetic_mean": "mean paramagnetic susceptibility",
    "chi_diamagnetic_mean": "mean diamagnetic susceptibility",
    "volume_mm3": "volume",
}


def axis_name(measure: str, unit: str) -> str:
    """Return what stands on an axis: ``mean susceptibility (ppm)``."""
    name = _NAMES.get(measure, measure)
    return f"{name} ({unit})" if unit else name


def qc_panel(metric: QcMetric, runs: Sequence[Line], groups: Groups) -> Chart:
    """Draw one quality-control metric of all runs over its expected range."""
    values = [(line, line.numbers.get(metric.name, math.nan)) for line in runs]
    values = [(line, value) for line, value in values if math.isfinite(value)]
    drawing = Drawing(_PANEL, 96)
    axis = axis_of([value for _, value in values], 14, _PANEL - 14)
    low = axis.low if metric.low is None else metric.low
    high = axis.high if metric.high is None else metric.high
    if metric.low is not None or metric.high is not None:
        drawing.box(axis(low), 6, axis(high), 58, "expected")
    dots = [(v, line.run, f"{line.run}: {short(v)} {metric.unit}", metric.name in line.flags) for line, v in values]
    _strip(drawing, axis, 32, 22, dots, groups)
    drawing.across(axis, 60, metric.unit)
    groups.legend(drawing, 6, 91)
    flagged = [line.run for line, _ in values if metric.name in line.flags]
    expected = _range(metric)
    middle = float(np.median([value for _, value in values]))
    spoken = (
        f"{metric.name} of {len(values)} runs: from {short(min(v for _, v in values))} to "
        f"{short(max(v for _, v in values))}, median {short(middle)} {metric.unit}. {expected} "
        f"Out of range: {', '.join(flagged[:8]) or 'none'}."
    )
    return Chart(metric.name, f"{metric.meaning}. {expected}", drawing.done(spoken))


def _range(metric: QcMetric) -> str:
    low, high = metric.low, metric.high
    if low is None and high is None:
        return "No expected range is set."
    if low is None:
        return f"Expected: up to {short(high or 0.0)}."
    if high is None:
        return f"Expected: from {short(low)}."
    return f"Expected: {short(low)} to {short(high)}."


def _strip(
    drawing: Drawing, axis: Axis, y: float, height: float, dots: Sequence[tuple[float, str, str, bool]], groups: Groups
) -> None:
    """Draw a box (quartiles, median) and a dot for every run, side by side where they would hide each other."""
    values = np.array([dot[0] for dot in dots])
    if len(dots) >= 5:
        q1, q2, q3 = (float(v) for v in np.percentile(values, (25, 50, 75)))
        drawing.box(axis(q1), y - height / 2, axis(q3), y + height / 2)
        drawing.line(axis(q2), y - height / 2, axis(q2), y + height / 2, "median")
    shown = list(dots)
    if len(dots) > MANY:
        low, high = (float(v) for v in np.percentile(values, (5, 95)))
        drawing.line(axis(low), y, axis(high), y)
        shown = [dot for dot in dots if dot[3] or not low <= dot[0] <= high]
    taken: dict[int, int] = {}
    for value, run, words, marked in sorted(shown, key=lambda dot: (dot[0], dot[1])):
        place = round(axis(value) / 6)
        lane = taken.get(place, 0)
        taken[place] = lane + 1
        offset = (lane + 1) // 2 * (5 if lane % 2 else -5)
        drawing.dot(
            axis(value), y + max(-height / 2, min(height / 2, offset)), run, words, marked, group=groups.number(run)
        )


def region_strips(segmentation: Segmentation, measure: str = "chi_mean") -> Chart | None:
    """Draw the values of every region, one line each."""
    regions = _largest(segmentation)
    if not regions:
        return None
    width, left = 640.0, 20 + CHARACTER * max(len(region.label) for region in regions)
    left = min(left, 250.0)
    height = 26 * len(regions)
    drawing = Drawing(width, height + 48)
    axis = axis_of([value.value for region in regions for value in region.values], left, width - 12)
    drawing.across(axis, height + 8, axis_name(measure, segmentation.unit(measure)), 4)
    segmentation.groups.legend(drawing, 8, height + 39)
    for place, region in enumerate(regions):
        y = 17.0 + 26 * place
        drawing.text(left - 8, y + 4, region.label[:40], "end")
        dots = [(v.value, v.run, f"{v.run}: {region.label} {short(v.value)}", v.marked) for v in region.values]
        _strip(drawing, axis, y, 14, dots, segmentation.groups)
    marked = [f"{v.run} {region.label}" for region in regions for v in region.values if v.marked]
    spoken = f"Values of {len(regions)} regions of all runs; outliers: {', '.join(marked[:8]) or 'none'}."
    left_out = len(segmentation.regions) - len(regions)
    more = f" The tables also have {left_out} smaller regions." if left_out else ""
    by = f", coloured by {segmentation.groups.column}" if segmentation.groups.column else ""
    caption = (
        f"Each dot is a run{by}. The box extends from the first to the third quartile. A diamond marks the region that "
        f"makes its run an outlier.{more}"
    )
    return Chart(f"Regions of {segmentation.name}", caption, drawing.done(spoken))


def _largest(segmentation: Segmentation) -> list[Region]:
    def volume(region: Region) -> float:
        sizes = [number(value.row.get("volume_mm3")) for value in region.values]
        return float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 0.0

    chosen = sorted(segmentation.regions, key=lambda region: -volume(region))[:REGIONS]
    return [region for region in segmentation.regions if region in chosen]


def effects(segmentation: Segmentation, response: str) -> Iterator[Chart]:
    """Draw the estimates of every term over regions with their confidence intervals."""
    levels, unit = segmentation.levels, segmentation.unit(response)
    terms = dict.fromkeys(
        row["term"] for row in segmentation.model if number(row["estimate"]) == number(row["estimate"])
    )
    for term in terms:
        rows = [r for r in segmentation.model if r["term"] == term and math.isfinite(number(r["estimate"]))][:REGIONS]
        if term == "Intercept":
            continue
        left = min(20 + CHARACTER * max(len(label_of(row)) for row in rows), 250.0)
        width, height = 640.0, 22.0 * len(rows)
        drawing = Drawing(width, height + 48)
        ends = [number(row[name]) for row in rows for name in ("ci_low", "ci_high")]
        axis = axis_of([*(end for end in ends if math.isfinite(end)), 0.0], left, width - 12)
        name = words_of(term, levels)
        drawing.across(axis, height + 8, f"effect ({unit_of_term(term, unit, segmentation.units)})", 4)
        drawing.line(axis(0), 4, axis(0), height + 8, "zero")
        for place, row in enumerate(rows):
            y = 15.0 + 22 * place
            drawing.text(left - 8, y + 4, label_of(row)[:40], "end")
            kind = "found" if row["significant"] == "true" else ""
            drawing.line(axis(number(row["ci_low"])), y, axis(number(row["ci_high"])), y, f"interval {kind}".strip())
            words = f"{label_of(row)}: {short(number(row['estimate']))}, FDR {short(number(row['p_fdr']))}"
            drawing.dot(axis(number(row["estimate"])), y, "", words, bool(kind), "estimate")
        significant = [label_of(row) for row in rows if row["significant"] == "true"]
        spoken = (
            f"Estimates of {name} with intervals for {len(rows)} regions; significant: "
            f"{', '.join(significant) or 'none'}."
        )
        caption = (
            f"Estimate and {100 * segmentation.confidence:g} % confidence interval. Diamonds: significant at a false "
            f"discovery rate of {segmentation.fdr:g}."
        )
        yield Chart(f"{name}: {segmentation.name}", caption, drawing.done(spoken))


def relations(segmentation: Segmentation, response: str) -> Iterator[Chart]:
    """Draw every region against every covariate of the model: regression for numbers, boxes for groups."""
    rows = segmentation.model
    terms = list(dict.fromkeys(row["term"] for row in rows if row["term"] not in ("Intercept", "n/a")))
    columns = dict.fromkeys(term.partition("[")[0].removeprefix("C(").removesuffix(")") for term in terms)
    for column in columns:
        if not segmentation.rows or column not in segmentation.rows[0]:
            continue  # an interaction or a transformed column has no axis of its own
        for region in _largest(segmentation):
            points = [(v.run, v.row[column], number(v.row.get(response)), v.marked) for v in region.values]
            points = [p for p in points if p[1] not in ("", "n/a") and math.isfinite(p[2])]
            if len(points) < 2:
                continue
            if column in terms:
                slope = next(
                    (number(r["estimate"]) for r in rows if r["term"] == column and label_of(r) == region.label),
                    math.nan,
                )
                yield _scatter(region, column, points, slope, response, segmentation)
            else:
                yield _boxes(region, column, points, response, segmentation)


def _scatter(
    region: Region,
    column: str,
    points: Sequence[tuple[str, str, float, bool]],
    slope: float,
    response: str,
    segmentation: Segmentation,
) -> Chart:
    unit, groups = segmentation.unit(response), segmentation.groups
    per = unit_of_term(column, unit, segmentation.units)
    drawing = Drawing(_PANEL, 210)
    xs, ys = [number(p[1]) for p in points], [p[2] for p in points]
    across, up = axis_of(xs, 52, _PANEL - 10), axis_of(ys, 168, 22)
    drawing.up(up, 52, _PANEL - 10, axis_name(response, unit))
    drawing.across(across, 170, axis_name(column, segmentation.units.get(column, "")))
    groups.legend(drawing, 52, 201)
    if math.isfinite(slope):
        middle_x, middle_y = float(np.mean(xs)), float(np.mean(ys))
        ends = [(x, middle_y + slope * (x - middle_x)) for x in (min(xs), max(xs))]
        drawing.line(across(ends[0][0]), up(ends[0][1]), across(ends[1][0]), up(ends[1][1]), "fit")
    for run, x, y, marked in points:
        drawing.dot(
            across(number(x)), up(y), run, f"{run}: {column} {x}, {short(y)} {unit}", marked, group=groups.number(run)
        )
    spoken = f"{region.label} against {column}: slope {short(slope)} {per}."
    caption = f"The line has the model's slope, {short(slope)} {per}."
    return Chart(f"{region.label}: {column}", caption, drawing.done(spoken))


def _boxes(
    region: Region,
    column: str,
    points: Sequence[tuple[str, str, float, bool]],
    response: str,
    segmentation: Segmentation,
) -> Chart:
    levels = sorted({p[1] for p in points})
    drawing = Drawing(_PANEL, 54 + 34.0 * len(levels))
    left = min(16 + CHARACTER * max(len(level) for level in levels), 120.0)
    axis = axis_of([p[2] for p in points], left, _PANEL - 12)
    bottom = 10 + 34.0 * len(levels)
    drawing.across(axis, bottom, axis_name(response, segmentation.unit(response)), 4)
    spoken = []
    for place, level in enumerate(levels):
        inside = [p for p in points if p[1] == level]
        y = 24.0 + 34 * place
        drawing.text(left - 6, y + 4, level[:18], "end")
        _strip(
            drawing,
            axis,
            y,
            20,
            [(p[2], p[0], f"{p[0]}: {short(p[2])}, {level}", p[3]) for p in inside],
            segmentation.groups,
        )
        spoken.append(f"{level} median {short(float(np.median([p[2] for p in inside])))} ({len(inside)} runs)")
    words = f"{region.label} by {column}: {'; '.join(spoken)}."
    return Chart(f"{region.label}: {column}", "; ".join(spoken) + ".", drawing.done(words))


def convergence(rows: Sequence[dict[str, str]]) -> Iterator[Chart]:
    """Draw how sharpness, overlap and shape went over the averages of the template."""
    for name, title, meaning in (
        ("sharpness", "Sharpness", "Gradient energy over energy of the average (1/mm²): it should rise and level off."),
        ("overlap", "Overlap", "Dice overlap of the participants' labels: it should rise and level off."),
        (
            "shape_update_mm",
            "Change of shape",
            "Mean displacement by the inverse of the mean shape (mm): it should fall.",
        ),
    ):
        points = [(number(row["iteration"]), number(row.get(name)), row["kind"]) for row in rows]
        single = [point for point in points if point[2] == "single" and name != "shape_update_mm"]
        points = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
        if len(points) < 2:
            continue
        single = [(points[-1][0] + 1, value, kind) for _, value, kind in single if math.isfinite(value)]
        drawing = Drawing(_PANEL, 180)
        every = [*points, *single]
        across = Axis(points[0][0] - 0.3, every[-1][0] + 0.3, 52, _PANEL - 10)
        up = axis_of([point[1] for point in every], 142, 14)
        drawing.up(up, 52, _PANEL - 10)
        drawing.line(52, 142, _PANEL - 10, 142)
        for before, after in pairwise(points):
            drawing.line(across(before[0]), up(before[1]), across(after[0]), up(after[1]), "fit")
        names = [*(f"{int(at)} {kind}" for at, _, kind in points), *("single affine pass" for _ in single)]
        for (at, value, kind), words in zip(every, names, strict=True):
            drawing.dot(across(at), up(value), "", f"{words}: {short(value)}", kind="estimate")
            drawing.text(across(at), 158, kind, "middle")
        spoken = "; ".join(f"{words} {short(value)}" for words, (_, value, _) in zip(names, every, strict=True))
        if single:
            meaning += ' For comparison, "single" is one affine registration of each participant.'
        yield Chart(title, meaning, drawing.done(f"{title} by average: {spoken}."))
