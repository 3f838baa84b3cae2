"""The conversion report: every series, what became of it, and why, as a table and as a page to read.

Every run leaves one record; table and page are made of the records of all runs on the output folder, so that a later
run adds to the report and runs at the same time do not lose each other's series.
"""

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from bids_app.convert.model import (
    CONVERTED,
    FAILED,
    KEPT,
    NOT_CONVERTED,
    PLANNED,
    SKIPPED,
    ConversionReport,
    Problem,
    SeriesOutcome,
)
from bids_app.convert.write.tables import write_table
from bids_app.derivatives.escaping import markdown_code, markdown_text, no_formula
from bids_app.derivatives.files import write_bytes, write_json
from bids_app.derivatives.text import utf8
from bids_app.model.json_values import JsonObject

COLUMNS = (
    "subject",
    "session",
    "series",
    "description",
    "status",
    "reason",
    "converted_with",
    "outputs",
    "files",
    "source",
    "series_hash",
)
_HEADINGS = {
    FAILED: "Failed",
    NOT_CONVERTED: "Not converted: came after their session was converted",
    CONVERTED: "Converted",
    PLANNED: "Would be converted",
    KEPT: "In the dataset already, left alone",
    SKIPPED: "Skipped: not needed for QSM, or not usable",
}


def write_report(report: ConversionReport, report_dir: Path, source: str) -> ConversionReport:
    """Write ``conversion_report.tsv`` and ``conversion_report.md``; returns the report with their paths.

    ``source`` names the folder that the scans came from (a hash): what cannot be read in it is reported by the last
    run.
    """
    table, page = report_dir / "conversion_report.tsv", report_dir / "conversion_report.md"
    records = report_dir / "logs" / "conversion"
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}-{secrets.token_hex(2)}.json"
    write_json(
        records / name,
        {
            "source": source,
            "outcomes": [asdict(o) for o in report.outcomes],
            "problems": [asdict(p) for p in report.problems],
            "notes": report.notes,
        },
    )
    while True:  # a run that ends while we write has its record there: look again
        known = sorted(records.glob("*.json"))
        merged = merge(report.bids_dir, (json.loads(path.read_text(encoding="utf-8")) for path in known))
        write_table(table, COLUMNS, rows(merged))
        write_bytes(page, utf8(as_markdown(merged)))
        if sorted(records.glob("*.json")) == known:
            return replace(report, table=table, page=page)


def merge(bids_dir: Path, records: Iterable[JsonObject]) -> ConversionReport:
    """Return one report of several runs, oldest first: a series has its last fate.

    What an earlier run converted stays listed as converted when a later run leaves it alone.
    """
    outcomes: dict[tuple[str, str | None, str], SeriesOutcome] = {}
    last: dict[str, JsonObject] = {}
    for record in records:
        last[record["source"]] = record
        for values in record["outcomes"]:
            outcome = SeriesOutcome(**{**values, "outputs": tuple(values["outputs"])})
            key = outcome.subject, outcome.session, outcome.uid
            if not (outcome.status == KEPT and key in outcomes and outcomes[key].status == CONVERTED):
                outcomes[key] = outcome
    problems = {p["path"]: Problem(**p) for record in last.values() for p in record["problems"]}
    notes = dict.fromkeys(note for record in last.values() for note in record["notes"])
    in_order = sorted(outcomes.values(), key=lambda o: (o.subject, o.session or "", o.number or 0, o.source))
    return ConversionReport(bids_dir, tuple(in_order), tuple(problems.values()), tuple(notes))


def rows(report: ConversionReport) -> list[Mapping[str, object]]:
    """Return the rows of the table: series, then files that cannot be read."""
    listed: list[Mapping[str, object]] = [
        {
            "subject": f"sub-{o.subject}",
            "session": f"ses-{o.session}" if o.session else "",
            "series": o.number,
            "description": no_formula(o.description),
            "status": o.status,
            "reason": no_formula(o.reason),
            "converted_with": o.way,
            "outputs": " ".join(o.outputs),
            "files": o.files,
            "source": no_formula(o.source),
            "series_hash": o.uid,
        }
        for o in report.outcomes
    ]
    return listed + [
        {"status": "unreadable", "reason": no_formula(p.reason), "files": 1, "source": no_formula(p.path)}
        for p in report.problems
    ]


def as_markdown(report: ConversionReport) -> str:
    """Return the readable page."""
    lines = ["# Conversion report", "", f"Dataset: {markdown_code(report.bids_dir.name)}. {report.summary}", ""]
    for status, heading in _HEADINGS.items():
        lines += _section(heading, [o for o in report.outcomes if o.status == status])
    if report.problems:
        problems = (f"* {markdown_code(p.path)}: {markdown_text(p.reason)}" for p in report.problems)
        lines += ["## Files that cannot be read", "", *problems, ""]
    if report.notes:
        lines += ["## Subjects, sessions, files", "", *(f"* {markdown_text(n)}" for n in report.notes), ""]
    return "\n".join(lines)


def _section(heading: str, outcomes: list[SeriesOutcome]) -> list[str]:
    if not outcomes:
        return []
    columns = ("subject", "session", "series", "description", "result")
    lines = [f"## {heading}", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for o in outcomes:
        made = "<br>".join(markdown_code(Path(p).name) for p in o.outputs)
        result = "<br>".join(x for x in (f"{made} ({o.way})" if made else "", markdown_text(o.reason)) if x)
        number, description = "" if o.number is None else str(o.number), markdown_text(o.description)
        cells = (o.subject, o.session or "", number, description, result)
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]
