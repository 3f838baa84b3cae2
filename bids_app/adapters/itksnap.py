"""Look-up tables of labels as ITK-SNAP writes them (``IDX R G B A VIS MESH "LABEL"``), or as BIDS has them."""

import re
from pathlib import Path

from bids_app.adapters.atlas import table_of
from bids_app.adapters.labels import Region, side_of
from bids_app.errors import UsageError

_LINE = re.compile(r'^\s*(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"\s*$')


def read_labels(path: Path) -> dict[int, Region]:
    """Return the regions of a table with the columns ``index`` and ``name``, or of ITK-SNAP's label description.

    Raises
    ------
    UsageError
        If it is neither, or names no label.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a label table: {error}") from error
    content = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if content and _LINE.match(content[0]):
        regions = {}
        for line in content:
            found = _LINE.match(line)
            if found is None:
                raise UsageError(f"{path}: this line is no label of ITK-SNAP: {line.strip()[:80]}")
            index = int(found.group(1))
            if index in regions:
                raise UsageError(f"{path}: label {index} is there twice")
            if index:  # 0 is the clear label
                regions[index] = Region(index, *side_of(found.group(2)))
    elif content and {"index", "name"} <= set(content[0].split("\t")):
        regions = table_of(path)
    else:
        raise UsageError(
            f"{path} is no label table: neither a TSV with the columns index and name nor ITK-SNAP's label description"
        )
    if not regions:
        raise UsageError(f"{path} names no label")
    return regions
