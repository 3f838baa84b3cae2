"""Tables as BIDS has them; they appear whole or not at all."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.derivatives.files import write_bytes
from bids_app.derivatives.text import decoded


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of a TSV file; nothing when it does not exist."""
    if not path.is_file():
        return [], []
    text, _ = decoded(path.read_bytes())  # other people's rows stay as they are, whatever their encoding
    reader = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = [{k: (v or "") for k, v in row.items() if k is not None} for row in reader]
    return list(reader.fieldnames or []), rows


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a TSV file at once; missing and empty values become n/a."""
    cells = [[" ".join(str(row.get(c, "")).split()) or "n/a" for c in columns] for row in rows]
    lines = ["\t".join(line) for line in [list(columns), *cells]]
    write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8"))
