"""The conversion report: every series, what became of it, and why, as a table and as a page to read."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bids_app.convert import store
from bids_app.convert.model import CONVERTED, FAILED, KEPT, PLANNED, SKIPPED, ConversionReport, SeriesOutcome

COLUMNS = (
    "subject", "session", "series", "description", "status", "reason", "converted_with", "outputs", "files", "source",
    "series_hash",
)  # fmt: skip
_HEADINGS = {
    FAILED: "Failed",
    CONVERTED: "Converted",
    PLANNED: "Would be converted",
    KEPT: "In the dataset already, left alone",
    SKIPPED: "Skipped: not needed for QSM, or not usable",
}
_ATTEMPTS = 20


def write_report(report: ConversionReport, report_dir: Path) -> ConversionReport:
    """Write ``conversion_report.tsv`` and ``conversion_report.md``; returns the report with their paths.

    The table gathers the runs on this output folder: a series has one row, its last fate. What an earlier run converted
    stays listed as converted when a later run leaves it alone.
    """
    report_dir.mkdir(parents=True, exist_ok=True)
    table, page = report_dir / "conversion_report.tsv", report_dir / "conversion_report.md"
    own = {_key(row): row for row in map(_row, report.outcomes)}
    for _ in range(_ATTEMPTS):  # another run may write between our reading and our writing: look again
        _, old = store.read_table(table)
        merged = {_key(row): row for row in old}
        for key, row in own.items():
            if not (row["status"] == KEPT and merged.get(key, {}).get("status") == CONVERTED):
                merged[key] = row
        rows = sorted(merged.values(), key=_order)
        store.write_table(table, COLUMNS, rows)
        _, now = store.read_table(table)
        if set(own) <= {_key(row) for row in now}:
            break
    store.write_text(page, as_markdown(report))
    archive = report_dir / "logs" / "conversion"
    archive.mkdir(parents=True, exist_ok=True)
    store.write_text(archive / f"{_stamp()}_conversion_report.md", as_markdown(report))
    return replace(report, table=table, page=page)


def _stamp() -> str:
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"


def _row(o: SeriesOutcome) -> dict[str, str]:
    values = (
        f"sub-{o.subject}", f"ses-{o.session}" if o.session else "n/a", "" if o.number is None else str(o.number),
        o.description, o.status, o.reason, o.way, " ".join(o.outputs), str(o.files), o.source, o.uid,
    )  # fmt: skip
    return {c: re.sub(r"\s+", " ", v).strip() or "n/a" for c, v in zip(COLUMNS, values, strict=True)}


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row.get("subject", ""), row.get("session", ""), row.get("series_hash", "")


def _order(row: dict[str, str]) -> tuple[str, str, int, str]:
    number = row.get("series", "")
    return (
        row.get("subject", ""),
        row.get("session", ""),
        int(number) if number.isdigit() else 0,
        row.get("source", ""),
    )


def summary(report: ConversionReport) -> str:
    """Return one sentence with the numbers."""
    counts = [f"{report.count(s)} {s}" for s in (CONVERTED, PLANNED, KEPT, SKIPPED, FAILED) if report.count(s)]
    broken = f"; {len(report.problems)} file(s) could not be read" if report.problems else ""
    return f"{len(report.outcomes)} series: {', '.join(counts) or 'none'}{broken}."


def as_markdown(report: ConversionReport) -> str:
    """Return the readable page."""
    lines = ["# Conversion report", "", f"Dataset: `{report.bids_dir.name}`. {summary(report)}", ""]
    for status, heading in _HEADINGS.items():
        lines += _section(heading, [o for o in report.outcomes if o.status == status])
    if report.problems:
        lines += ["## Files that could not be read", ""]
        lines += [f"* `{p.path}`: {p.reason}" for p in report.problems] + [""]
    if report.notes:
        lines += ["## Subjects, sessions, files", "", *(f"* {n}" for n in report.notes), ""]
    return "\n".join(lines)


def _section(heading: str, outcomes: Sequence[SeriesOutcome]) -> list[str]:
    if not outcomes:
        return []
    lines = [
        f"## {heading}",
        "",
        "| subject | session | series | description | result |",
        "|---|---|---|---|---|",
    ]
    for o in outcomes:
        made = "<br>".join(f"`{Path(p).name}`" for p in o.outputs)
        how = f"{made} ({o.way})" if made and o.way else made
        result = "<br>".join(x for x in (how, o.reason) if x)
        number = "" if o.number is None else str(o.number)
        cells = (o.subject, o.session or "", number, o.description, result)
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return [*lines, ""]
