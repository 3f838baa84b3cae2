"""The files ``CITATION.md`` and ``CITATION.bib``: every methods text once, and the works that they cite."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app import __version__
from bids_app.derivatives.escaping import no_html
from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.presence import read_json_object
from bids_app.derivatives.text import utf8
from bids_app.report.methods.references import REFERENCES
from bids_app.report.methods.text import Methods

_AUTHORS = "The QSM BIDS App developers"
#: This software as a line of a list of references, and as an entry of a bibliography.
SOFTWARE = f"{_AUTHORS}. QSM BIDS App (qsm-bids-app), version {__version__}. Software."
SOFTWARE_BIBTEX = f"""\
@software{{qsmbidsapp,
  author = {{{{{_AUTHORS}}}}},
  title = {{{{QSM BIDS App}}}},
  version = {{{__version__}}},
}}
"""


def cite(logs: Path) -> None:
    """Write ``CITATION.md`` and ``CITATION.bib`` from what every subject's report has kept in ``logs/reports``."""
    texts: dict[str, Methods] = {}
    kept_reports = logs / "reports"
    for path in [*sorted(kept_reports.glob("sub-*.json")), kept_reports / "group.json"]:
        kept = read_json_object(path).get("methods")  # a damaged file is written again by its subject's next report
        for name, paragraphs in kept.items() if isinstance(kept, dict) else ():
            if isinstance(paragraphs, list) and all(isinstance(text, str) for text in paragraphs):
                texts[name] = Methods(tuple(paragraphs))
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
    keys = list(dict.fromkeys(key for methods in texts.values() for key in methods.keys if key in REFERENCES))
    lines += ["# References", "", f"* {SOFTWARE}", *(f"* {REFERENCES[key].text}" for key in keys)]
    write_bytes(folder / "CITATION.md", utf8("\n".join(lines) + "\n"))
    entries = [SOFTWARE_BIBTEX, *(REFERENCES[key].bibtex for key in keys)]
    write_bytes(folder / "CITATION.bib", "\n".join(entries).encode())


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
