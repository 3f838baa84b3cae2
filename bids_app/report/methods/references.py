"""The bibliography, ``references.bib``: every work that methods, code and documents name."""

from pathlib import Path

from bids_app.report.methods.reference import Reference, read_bibtex

BIBLIOGRAPHY = Path(__file__).parents[1] / "references.bib"
#: The bibliography by key.
REFERENCES: dict[str, Reference] = read_bibtex(BIBLIOGRAPHY.read_text(encoding="utf-8"))

__all__ = ["BIBLIOGRAPHY", "REFERENCES", "Reference"]
