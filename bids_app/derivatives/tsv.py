"""Tables of tab-separated values that users write, read cell by cell: a problem names its line and its column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.derivatives.presence import absence
from bids_app.derivatives.text import cells_of, decoded, shown

#: Texts that stand for a missing value.
MISSING = ("", "n/a", "N/A", "NA", "nan", "NaN")
_WHOLE = re.compile(r"[-+]?\d{1,10}(?:\.0*)?$")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+$")


class TableError(ValueError):
    """A table cannot be used; the text has the line and the column, not the file."""


@dataclass(frozen=True)
class Line:
    """One row of a table: its number in the file, and its cells by column; missing ones are empty."""

    number: int
    cells: dict[str, str]

    def whole(self, column: str) -> int:
        """Return the whole number of a cell.

        Raises
        ------
        TableError
            If it holds anything else.
        """
        text = self.cells.get(column, "")
        if not _WHOLE.match(text):
            comma = "; decimal commas are not understood" if _DECIMAL_COMMA.match(text) else ""
            raise TableError(f"line {self.number}, column {column}: {shown(text)} is no whole number{comma}")
        return int(text.partition(".")[0])


def table_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that this software wrote, as texts; a quote is a character like any other.

    Raises
    ------
    OSError, ValueError
        If there is no such file, or it is not UTF-8.
    """
    header, *lines = cells_of(path.read_text(encoding="utf-8-sig")) or [[]]
    return [dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False)) for cells in lines]


def read_tsv(path: Path, needed: Sequence[str]) -> list[Line]:
    """Return the lines of a table below its header; empty lines are left out, spaces around cells too.

    Raises
    ------
    TableError
        If the file is not there, is not UTF-8, lacks a needed column, has one twice, or a line has too many or too few
        cells.
    """
    if problem := absence(path):
        raise TableError(problem)
    text, note = decoded(path.read_bytes())
    if note:
        raise TableError("is not UTF-8; save it as UTF-8 (iconv -f latin1 -t utf-8)")
    lines = cells_of(text)
    header = [name.strip() for name in lines[0]] if lines else []
    for name in needed:
        if name not in header:
            others = "" if len(header) > 1 else "; columns are separated by tabs"
            raise TableError(f"line 1: there is no column {name}{others}")
    for name in header:
        if header.count(name) > 1:
            raise TableError(f"line 1: column {shown(name)} is there twice")
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        while len(cells) > len(header) and not cells[-1].strip():  # a tab at the end of the line
            cells.pop()
        if len(cells) != len(header):
            raise TableError(f"line {number}: has {len(cells)} cells, the header has {len(header)}")
        texts = (cell.strip().removeprefix('"').removesuffix('"').strip() for cell in cells)
        values = ("" if text in MISSING else text for text in texts)
        rows.append(Line(number, dict(zip(header, values, strict=True))))
    return rows
