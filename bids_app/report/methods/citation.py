"""The files ``CITATION.md`` and ``CITATION.bib``: every methods text once, and the works that they cite."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bids_app.derivatives.escaping import no_html
from bids_app.derivatives.files import write_bytes
from bids_app.report.methods.references import REFERENCES
from bids_app.report.methods.text import Methods


def cite(logs: Path) -> None:
    """Write ``CITATION.md`` and ``CITATION.bib`` from what every subject's report has kept in ``logs/reports``."""
    texts: dict[str, Methods] = {}
    kept_reports = logs / "reports"
    for path in [*sorted(kept_reports.glob("sub-*.json")), kept_reports / "group.json"]:
        with suppress(OSError, ValueError):  # a damaged file is written again by its subject's next report
            kept = json.loads(path.read_text(encoding="utf-8")).get("methods", {})
            texts |= {names: Methods(tuple(paragraphs)) for names, paragraphs in kept.items()}
    if texts:
        write_citation(logs, texts)


def write_citation(folder: Path, texts: Mapping[str, Methods]) -> None:
    """Write ``CITATION.md`` and ``CITATION.bib``: each different text once, with the runs that it is about."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, methods in texts.items():
        groups.setdefault(methods.paragraphs, []).append(name)
    lines = ["# Methods", ""]
    for paragraphs, names in groups.items():
        lines += [f"## {_listed(names)}", "", *(f"{no_html(text)}\n" for text in Methods(paragraphs).plain())]
    keys = list(dict.fromkeys(key for methods in texts.values() for key in methods.keys))
    lines += ["# References", "", *(f"* {REFERENCES[key].text}" for key in keys)]
    write_bytes(folder / "CITATION.md", ("\n".join(lines) + "\n").encode())
    write_bytes(folder / "CITATION.bib", "\n".join(REFERENCES[key].bibtex for key in keys).encode())


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
