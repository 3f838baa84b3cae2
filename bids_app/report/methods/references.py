"""The bibliography, ``references.bib``: every work that methods, code and documents name."""

from pathlib import Path

from bids_app.report.methods.reference import Reference, read_bibtex

BIBLIOGRAPHY = Path(__file__).parents[1] / "references.bib"


def _read() -> dict[str, Reference]:
    try:
        return read_bibtex(BIBLIOGRAPHY.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{BIBLIOGRAPHY.name}: {error}") from error


#: The bibliography by key.
REFERENCES = _read()

__all__ = ["BIBLIOGRAPHY", "REFERENCES", "Reference"]
