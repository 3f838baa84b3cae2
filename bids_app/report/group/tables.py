"""What the group's page shows of the group's tables: runs with their metrics, outliers, regions, models."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.derivatives import quality
from bids_app.derivatives.names import sidecar_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.model.cohort import PROBLEMS
from bids_app.model.json_values import JsonObject
from bids_app.report.charts import number, read_table
from bids_app.report.group.terms import Groups, groups_of, levels_of
from bids_app.report.participant.collect import Run

_MISSING = ("", "n/a")
#: Short names of a model's response.
RESPONSES = {
    "chi": "chi_mean",
    "r2star": "r2star_mean",
    "r2prime": "r2prime_mean",
    "chi_paramagnetic": "chi_paramagnetic_mean",
    "chi_diamagnetic": "chi_diamagnetic_mean",
    "volume": "volume_mm3",
}
_KEYS = ("participant_id", "session_id", "run")


@dataclass
class Line:
    """One run in the table of participants."""

    run: str
    participant: str
    session: str
    status: str
    reason: str
    page: str = ""  # address of its page, where there is one
    rating: str = ""
    note: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    outliers: list[str] = field(default_factory=list)  # in words

    @property
    def is_marked(self) -> bool:
        """Whether anything about it is unusual."""
        return bool(self.flags or self.outliers or self.status in PROBLEMS)


@dataclass(frozen=True)
class QcMetric:
    """A column of quality-control metrics with its expected range (None: no bound)."""

    name: str
    unit: str
    meaning: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Value:
    """One region's value of one run."""

    run: str
    value: float
    marked: bool
    row: Mapping[str, str]


@dataclass(frozen=True)
class Region:
    """One region's values over all runs."""

    label: str
    values: list[Value]


@dataclass(frozen=True)
class Segmentation:
    """One segmentation's tables."""

    name: str
    regions: list[Region]
    rows: list[dict[str, str]]  # the long table
    description: list[dict[str, str]]
    model: list[dict[str, str]]
    formula: str
    fdr: float
    confidence: float
    groups: Groups = field(default_factory=Groups)
    units: Mapping[str, str] = field(default_factory=dict)  # of the columns of participants and sessions
    files: tuple[tuple[str, str], ...] = ()  # what a table holds, and its name

    @property
    def levels(self) -> dict[str, list[str]]:
        """Return the values of every column of words."""
        return levels_of(self.rows)

    def unit(self, response: str) -> str:
        """Return the unit of a column of values."""
        return self.units.get(response) or unit_of(response)


#: The tables of a segmentation, and what they hold.
_FILES = {
    "group_wide": "one row for each run",
    "group_long": "one row for each run and region",
    "group_descriptive": "every region over all runs",
    "group_outliers": "distance of every run from the others",
    "group_model": "model of every region",
}


def lines(cohorts: Sequence[Run], output_dir: Path) -> list[Line]:
    """Return every run with what is known about it, in the order of the list of participants.

    ``cohorts`` are the records of the tables, those with the list of participants first.
    """
    by_run: dict[str, Line] = {}
    group = cohorts[0]
    for row in _rows(group, "cohort"):
        session = "" if row["session_id"] in _MISSING else row["session_id"]
        reason = "" if row["reason"] in _MISSING else row["reason"]
        page = f"{row['participant_id']}.html"
        by_run[row["run"]] = Line(
            row["run"],
            row["participant_id"],
            session,
            row["status"],
            reason,
            page if (output_dir / page).is_file() else "",
            rating=_known(row, "rating"),
            note=_known(row, "note"),
        )
    for row in _rows(group, "group_qc"):
        line = by_run.get(row["run"])
        if line is None:
            continue
        others = (*_KEYS, "status", "flags")
        line.numbers = {name: number(value) for name, value in row.items() if name not in others}
        line.flags = [name for name in row.get("flags", "").split(";") if name not in _MISSING]
    for cohort, key in ((run, key) for run in cohorts for key in run.keys("group_outliers@")):
        for row in _rows(cohort, key):
            if row["flagged"] == "true" and row["run"] in by_run:
                words = f"{row['worst_region'].removesuffix(' n/a')} ({row['measure']}, z {number(row['worst_z']):.1f}"
                more = int(number(row["regions_flagged"])) - 1
                words += f"; {more} more)" if more > 0 else ")"
                by_run[row["run"]].outliers.append(words)
    return list(by_run.values())


def _known(row: Mapping[str, str], name: str) -> str:
    value = row.get(name, "")
    return "" if value in _MISSING else value


def qc_metrics(runs: Sequence[Line], bounds: Mapping[str, float]) -> list[QcMetric]:
    """Return the columns that any run has a value of."""
    names = list(dict.fromkeys(name for line in runs for name, v in line.numbers.items() if math.isfinite(v)))
    known = quality.metrics_of(sum(name.startswith(quality.SNR) for name in names))
    shown = []
    for name in names:
        if name in known:
            n = known[name]
            low, high = (bounds.get(bound) if bound else None for bound in (n.low, n.high))
            shown.append(QcMetric(name, "" if n.unit == "1" else n.unit, n.meaning, low, high))
    return shown


def segmentations(group: Run, measure: str = "chi_mean") -> list[Segmentation]:
    """Return the regions, descriptions and models of every segmentation."""
    segmentations = []
    for key in group.keys("group_long@"):
        name = key.partition("@")[2]
        rows = _rows(group, key)
        outlying = {
            (row["run"], row["worst_region"], row.get("space", ""))
            for row in _rows(group, f"group_outliers@{name}")
            if row["flagged"] == "true" and row["measure"] == measure
        }
        regions: dict[str, Region] = {}
        for row in rows:
            if row["index"] in _MISSING:
                continue
            region = regions.setdefault(label_of(row), Region(label_of(row), []))
            value = number(row.get(measure))
            if math.isfinite(value):
                marked = (row["run"], f"{row['name']} {row['hemisphere']}", row.get("space", "")) in outlying
                region.values.append(Value(row["run"], value, marked, row))
        facts = _facts(group, f"group_model@{name}")
        formula = str(facts.get("Model", ""))
        segmentations.append(
            Segmentation(
                name,
                [region for region in regions.values() if region.values],
                rows,
                _rows(group, f"group_descriptive@{name}"),
                _rows(group, f"group_model@{name}"),
                formula,
                float(facts.get("FalseDiscoveryRate", 0.05)),
                float(facts.get("Confidence", 0.95)),
                groups_of(rows, formula),
                _units(_facts(group, key)),
                tuple((words, path.name) for kind, words in _FILES.items() if (path := group.path(f"{kind}@{name}"))),
            )
        )
    return segmentations


def _units(dictionary: Mapping[str, object]) -> dict[str, str]:
    """Return the units that a table's dictionary gives its columns."""
    units = {}
    for name, about in dictionary.items():
        if isinstance(about, Mapping) and isinstance(about.get("Units"), str):
            units[name] = str(about["Units"])
    return units


def label_of(row: Mapping[str, str]) -> str:
    """Return a region's name with its side, and where it was measured where there are two places."""
    side, space = row.get("hemisphere", "n/a"), row.get("space", "")
    name = row["name"] if side in _MISSING else f"{row['name']} {side}"
    return name if space in _MISSING else f"{name} ({space})"


def unit_of(measure: str) -> str:
    """Return the unit of a column of the table of regions."""
    return str(PRODUCTS["group_long@x"].columns.get(measure, {}).get("Units", ""))


def table_of(template: Sequence[Run], key: str) -> list[dict[str, str]]:
    """Return the rows of a template's table; none where it is not there."""
    return next((rows for run in template if (rows := _rows(run, key))), [])


def _rows(run: Run, key: str) -> list[dict[str, str]]:
    path = run.path(key)
    return [] if path is None else read_table(path)


def _facts(run: Run, key: str) -> JsonObject:
    path = run.path(key)
    if path is None:
        return {}
    try:
        content = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
