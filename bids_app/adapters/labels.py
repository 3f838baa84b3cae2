"""Regions by number: FastSurfer's labels in our own words, and look-up tables of any segmentation.

FastSurfer keeps FreeSurfer's numbers: subcortical structures below 100, cortical parcels of the Desikan-Killiany-
Tourville protocol (Klein & Tourville 2012, 10.3389/fnins.2012.00171) at 1000 (left) and 2000 (right) plus their code.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from bids_app.derivatives.tsv import TableError, read_tsv
from bids_app.errors import UsageError


@dataclass(frozen=True)
class Region:
    """One label of a segmentation."""

    index: int
    name: str
    hemisphere: str = "n/a"  # L, R or n/a

    @property
    def words(self) -> str:
        """``left putamen``: side and name, as a user would say it."""
        return f"{_SIDE_WORDS[self.hemisphere]} {self.name}" if self.hemisphere in _SIDE_WORDS else self.name


def lookup_rows(regions: Iterable[Region]) -> list[dict[str, object]]:
    """Return the lines of the look-up table that goes with a segmentation."""
    return [{"index": r.index, "name": r.name, "hemisphere": r.hemisphere} for r in regions]


_SIDE_WORDS = {"L": "left", "R": "right"}

#: Structures of both sides: left number, right number, name.
_PAIRED = (
    (2, 41, "cerebral white matter"),
    (4, 43, "lateral ventricle"),
    (5, 44, "inferior lateral ventricle"),
    (7, 46, "cerebellar white matter"),
    (8, 47, "cerebellar cortex"),
    (10, 49, "thalamus"),
    (11, 50, "caudate"),
    (12, 51, "putamen"),
    (13, 52, "pallidum"),
    (17, 53, "hippocampus"),
    (18, 54, "amygdala"),
    (26, 58, "accumbens"),
    (28, 60, "ventral diencephalon"),
    (31, 63, "choroid plexus"),
)
_MIDLINE = (
    (14, "third ventricle"),
    (15, "fourth ventricle"),
    (16, "brain stem"),
    (24, "cerebrospinal fluid"),
    (77, "white matter hypointensities"),
    (192, "corpus callosum"),
    (251, "corpus callosum posterior"),
    (252, "corpus callosum mid posterior"),
    (253, "corpus callosum central"),
    (254, "corpus callosum mid anterior"),
    (255, "corpus callosum anterior"),
)
_CORTEX = {
    2: "caudal anterior cingulate",
    3: "caudal middle frontal",
    5: "cuneus",
    6: "entorhinal",
    7: "fusiform",
    8: "inferior parietal",
    9: "inferior temporal",
    10: "isthmus cingulate",
    11: "lateral occipital",
    12: "lateral orbitofrontal",
    13: "lingual",
    14: "medial orbitofrontal",
    15: "middle temporal",
    16: "parahippocampal",
    17: "paracentral",
    18: "pars opercularis",
    19: "pars orbitalis",
    20: "pars triangularis",
    21: "pericalcarine",
    22: "postcentral",
    23: "posterior cingulate",
    24: "precentral",
    25: "precuneus",
    26: "rostral anterior cingulate",
    27: "rostral middle frontal",
    28: "superior frontal",
    29: "superior parietal",
    30: "superior temporal",
    31: "supramarginal",
    34: "transverse temporal",
    35: "insula",
}


def _fastsurfer() -> dict[int, Region]:
    regions = [Region(index, name) for index, name in _MIDLINE]
    for left, right, name in _PAIRED:
        regions += [Region(left, name, "L"), Region(right, name, "R")]
    for code, name in _CORTEX.items():
        regions += [Region(1000 + code, f"{name} cortex", "L"), Region(2000 + code, f"{name} cortex", "R")]
    return {region.index: region for region in sorted(regions, key=lambda region: region.index)}


#: Every label of ``aparc.DKTatlas+aseg.deep.mgz`` (and of the corpus callosum that later steps add).
FASTSURFER: dict[int, Region] = _fastsurfer()

#: Ends the name of a region where several have one name.
_LABEL_NUMBER = re.compile(r" \(label \d+\)$")
_SIDE = re.compile(r"(?:^|[\s_.-])(left|right|lh|rh|l|r)(?=$|[\s_.-])", re.IGNORECASE)
#: Names of regions that hold cerebrospinal fluid and no choroid plexus; the lateral ventricles come first.
_FLUID = (re.compile(r"lateral.?ventricle", re.IGNORECASE), re.compile(r"\bcsf\b|cerebro.?spinal|ventricle", re.I))


def side_of(name: str) -> tuple[str, str]:
    """Return a name without its side, and the side: ``Left-Putamen`` gives ``Putamen`` and ``L``."""
    match = _SIDE.search(name)
    if match is None:
        return name, "n/a"
    rest = (name[: match.start()] + " " + name[match.end() :]).strip(" _.-")
    return (rest or name), match.group(1)[0].upper()


def from_rows(rows: Iterable[Mapping[str, str]]) -> dict[int, Region]:
    """Return the regions of a BIDS look-up table (``index``, ``name``, and ``hemisphere`` where it is there).

    Raises
    ------
    ValueError
        If a column is missing, an index is no whole number, or there twice.
    """
    regions: dict[int, Region] = {}
    for row in rows:
        if not row.get("index") or not row.get("name"):
            raise ValueError("the label table needs the columns index and name in every row")
        index = int(str(row["index"]))
        if index == 0:
            continue
        if index in regions:
            raise ValueError(f"the label table has label {index} twice ({regions[index].name}, {row['name']})")
        name, side = side_of(str(row["name"]))
        given = str(row.get("hemisphere") or row.get("hemi") or "n/a")[:1].upper()
        if given in _SIDE_WORDS:
            regions[index] = Region(index, name if side == given else str(row["name"]), given)
        else:
            regions[index] = Region(index, name, side)
    return regions


def read_table(path: Path) -> dict[int, Region]:
    """Return the regions of a look-up table that a user gives: a TSV file with the columns ``index`` and ``name``.

    Raises
    ------
    UsageError
        If it cannot be used; the text has the file, the line and the column.
    """
    rows: list[dict[str, str]] = []
    seen: dict[int, int] = {}
    try:
        for line in read_tsv(path, ("index", "name")):
            index = line.whole("index")
            if not line.cells["name"]:
                raise TableError(f"line {line.number}, column name: is empty; give label {index} a name")
            if index < 0:
                raise TableError(f"line {line.number}, column index: {index} is below 0")
            if index in seen:
                raise TableError(f"line {line.number}, column index: label {index} is in line {seen[index]} already")
            seen[index] = line.number
            rows.append(line.cells | {"index": str(index)})
        return from_rows(rows)
    except TableError as error:
        raise UsageError(f"{path} is no label table: {error}") from error


def named(table: Mapping[int, Region], indices: Iterable[int]) -> dict[int, Region]:
    """Return the regions of these labels, each with a name of its own.

    One that the table does not know is called after its number. Several of one side that have one name get their number
    too: tables and pages name regions and not labels.
    """
    regions = {index: table.get(index, Region(index, f"label {index}")) for index in indices}
    counts = Counter((_plain(region.name), region.hemisphere) for region in regions.values())
    return {
        index: replace(region, name=f"{region.name} (label {index})")
        if counts[_plain(region.name), region.hemisphere] > 1
        else region
        for index, region in regions.items()
    }


def find(table: Mapping[int, Region], words: str) -> tuple[int, ...]:
    """Return the labels that a user's words mean: ``putamen`` both sides, ``left putamen`` one, ``csf`` the fluid.

    Raises
    ------
    UsageError
        If no region has this name; the text names the nearest ones.
    """
    wanted = _plain(words)
    if wanted == "csf":
        for pattern in _FLUID:
            fluid = [r.index for r in table.values() if pattern.search(r.name) and "inferior" not in r.name.lower()]
            if fluid:
                return tuple(fluid)
    hits = [r.index for r in table.values() if wanted in (_plain(r.name), _plain(r.words), str(r.index))]
    if not hits:
        known = sorted({_plain(region.words) for region in table.values()} | {_plain(r.name) for r in table.values()})
        close = get_close_matches(wanted, known, n=3, cutoff=0.4) or known[:8]
        raise UsageError(f"no region is called {words!r} in the segmentation; near: {', '.join(close)}")
    return tuple(hits)


def _plain(text: str) -> str:
    """Return a name as users type it, without the number of its label where several have the name."""
    return re.sub(r"[\s_.-]+", " ", _LABEL_NUMBER.sub("", text)).strip().lower()
