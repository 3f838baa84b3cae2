"""Tables as BIDS has them; they appear whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.text import cells_of, decoded, utf8


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of a TSV file; nothing when it does not exist."""
    if not path.is_file():
        return [], []
    text, _ = decoded(path.read_bytes())  # other people's rows stay as they are, whatever their encoding
    header, *lines = cells_of(text) or [[]]
    rows = [
        dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False)) for cells in lines if any(cells)
    ]
    return header, rows


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a TSV file at once; missing and empty values become n/a."""
    cells = [[" ".join(str(row.get(c, "")).split()) or "n/a" for c in columns] for row in rows]
    lines = ["\t".join(line) for line in [list(columns), *cells]]
    write_bytes(path, utf8("\n".join(lines) + "\n"))
