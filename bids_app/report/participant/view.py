"""What the page of a participant shows of one run."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bids_app import __version__
from bids_app.derivatives.quality import Measured
from bids_app.model.json_values import JsonObject
from bids_app.report.participant.collect import Run

if TYPE_CHECKING:  # they load matplotlib, which the check whether a page is there does without
    from bids_app.report.participant.figures import Stage
    from bids_app.report.participant.viewer import Volumes
    from bids_app.report.pictures import Picture


@dataclass(frozen=True)
class RegionTable:
    """A table of regions: its segmentation, headings, and the cells of every region by its name."""

    name: str
    heads: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass
class View:
    """What the page's template shows of one run."""

    run: Run
    facts: list[tuple[str, str]]
    made: list[tuple[str, str]]
    tables: list[RegionTable]
    quality: dict[str, Measured]
    registrations: list[dict[str, object]]
    stages: "list[Stage]"
    durations: "Picture | None"
    volumes: "Volumes | None" = None


def view_of(run: Run) -> View:
    """Return what the page's template shows of one run."""
    from bids_app.report import charts
    from bids_app.report.participant import figures

    return View(
        run,
        _facts(run),
        _made(run),
        _tables(run),
        _quality(run),
        _registrations(run),
        [] if run.is_anatomical else figures.stages(run),
        charts.durations(list(run.records.values())),
    )


def _made(run: Run) -> list[tuple[str, str]]:
    """Return when and by what the map of a run was made, and the zero of its scale."""
    if not run.records:
        return []
    started = max(record.started for record in run.records.values())
    facts = [("Processed", f"{started[:16].replace('T', ' ')} UTC, version {__version__}")]
    chosen = run.parameters("reference").get("reference")
    region = chosen.get("region") if isinstance(chosen, dict) else None
    offset = run.metric("reference", "offset_chimap")
    if region and isinstance(offset, int | float):
        known = {"mask": "mean of the valid mask", "none": "as inverted, no reference"}
        words = known.get(str(region), f"mean of {region}")
        facts.append(("Zero of the scale", f"{words} ({offset:+.4f} ppm was subtracted)"))
    return facts


#: Columns of the table of regions on the page: column of the file, heading, unit factor and format.
_REGION_COLUMNS = (
    ("volume_mm3", "Volume (ml)", 1e-3, "{:.2f}"),
    ("chi_mean", "Mean χ (ppb)", 1e3, "{:.1f}"),
    ("chi_std", "SD (ppb)", 1e3, "{:.1f}"),
    ("chi_median", "Median (ppb)", 1e3, "{:.1f}"),
    ("chi_paramagnetic_mean", "Mean paramagnetic χ (ppb)", 1e3, "{:.1f}"),
    ("chi_diamagnetic_mean", "Mean diamagnetic χ (ppb)", 1e3, "{:.1f}"),
    ("r2star_mean", "Mean R2* (1/s)", 1.0, "{:.1f}"),
    ("r2prime_mean", "Mean R2' (1/s)", 1.0, "{:.1f}"),
)


def _tables(run: Run) -> list[RegionTable]:
    """Return the tables of regions: title, headings and rows of texts."""
    from bids_app.report.charts import number, read_table

    tables = []
    for key in run.keys("regions@"):
        path = run.path(key)
        rows = read_table(path) if path is not None else []
        if not rows:
            continue
        columns = [column for column in _REGION_COLUMNS if column[0] in rows[0]]
        lines = []
        for row in rows:
            side = row.get("hemisphere", "n/a")
            name = row["name"] + (f", {side}" if side not in ("n/a", "") else "")
            cells = [(number(row[name_]), factor, form) for name_, _, factor, form in columns]
            lines.append((name, [form.format(v * factor) if v == v else "n/a" for v, factor, form in cells]))
        tables.append(RegionTable(key.partition("@")[2], [column[1] for column in columns], lines))
    return tables


def _quality(run: Run) -> dict[str, Measured]:
    """Return the numbers for quality control by name, as the step has described them, those out of range first."""
    path = run.path("qc")
    if path is None:
        return {}
    content: dict[str, JsonObject] = json.loads(path.read_text(encoding="utf-8"))["numbers"]
    for number in content.values():  # files of 0.1.0 call the range "usual"
        number.setdefault("expected", number.get("usual", [None, None]))
    numbers = cast("dict[str, Measured]", content)
    return dict(sorted(numbers.items(), key=lambda item: item[1]["flag"] is None))


def _registrations(run: Run) -> list[dict[str, object]]:
    """Return how well images were brought onto each other: the figures of every step that has judged it."""
    registrations = []
    for record in run.records.values():
        if record.number("overlap_dice") is not None:
            title = record.title or record.step
            registrations.append({"title": title, "wrong": bool(record.warnings), **record.metrics})
    return registrations


def _facts(run: Run) -> list[tuple[str, str]]:
    """Return what was found of a run, in words."""
    from bids_app.report.methods.acquisition import items

    source = run.source
    if source is None:
        return []
    facts = [
        ("Images", f"{len(source.echoes)} {'echo' if len(source.echoes) == 1 else 'echoes'}, suffix {source.suffix}"),
        ("Field strength", f"{source.field_strength:g} T" if source.field_strength else "unknown"),
        ("Anatomical image", source.t1w_choice or "none"),
    ]
    stated = [item for item in items(run) if item.text]
    facts += [(item.name.capitalize(), item.text.removeprefix(f"{item.name} ")) for item in stated]
    notes = run.metric("phase", "phase")
    if isinstance(notes, list) and notes:
        facts.append(("Phase", "; ".join(map(str, notes))))
    return facts
