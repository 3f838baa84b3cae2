"""Look-up tables of labels as ITK-SNAP writes them (``IDX R G B A VIS MESH "LABEL"``), or as BIDS has them."""

import re
from pathlib import Path

from bids_app.adapters.labels import Region, read_table, side_of
from bids_app.derivatives.presence import absence
from bids_app.derivatives.text import decoded
from bids_app.derivatives.tsv import MISSING
from bids_app.errors import UsageError

_LINE = re.compile(r'^\s*(\d{1,10})\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*$')


def read_labels(path: Path) -> dict[int, Region]:
    """Return the regions of a table with the columns ``index`` and ``name``, or of ITK-SNAP's label description.

    Raises
    ------
    UsageError
        If it is neither, or names no label.
    """
    problem = absence(path)
    text, note = ("", "") if problem else decoded(path.read_bytes())
    if problem or note:
        raise UsageError(f"{path} is no label table: {problem or 'is not UTF-8; save it as UTF-8'}")
    content = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if content and _LINE.match(content[0][1]):
        regions, seen = {}, dict[int, int]()
        for number, line in content:
            match = _LINE.match(line)
            if match is None:
                raise UsageError(f"{path}: line {number} is no label of ITK-SNAP: {line.strip()[:80]}")
            index = int(match.group(1))
            if index in seen:
                raise UsageError(f"{path}: line {number}: label {index} is in line {seen[index]} already")
            seen[index] = number
            if match.group(2).strip() in MISSING:
                raise UsageError(f"{path}: line {number}: label {index} has no name; give it one")
            if index:  # 0 is the clear label
                regions[index] = Region(index, *side_of(match.group(2)))
    elif content and "index" in re.split(r"[\t,; ]+", content[0][1]):
        regions = read_table(path)
    else:
        raise UsageError(
            f"{path} is no label table: neither a TSV with the columns index and name nor ITK-SNAP's label description"
        )
    if not regions:
        raise UsageError(f"{path} names no label")
    return regions
