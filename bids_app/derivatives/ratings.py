"""Ratings of maps by people: the table that the participant page saves, and that the group level reads.

One row for each run: ``participant_id``, ``run``, ``rating`` (good, usable or exclude) and ``note``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.derivatives.files import write_table
from bids_app.derivatives.text import cells_of, decoded
from bids_app.errors import InputRefusedError

#: What a rating can be; the group level leaves out the last one.
RATINGS = ("good", "usable", "exclude")
EXCLUDE = "exclude"
#: Columns of the table, in order.
COLUMNS = ("participant_id", "run", "rating", "note")

_MISSING = ("", "n/a")
#: The participant page saves ``RUN_rating.tsv``; a browser may add a number to the name.
_PATTERN = "*rating*.tsv"


@dataclass(frozen=True)
class Rating:
    """The rating of one run."""

    run: str  # basename of the run: sub-01_ses-1
    rating: str  # one of RATINGS; empty: not rated
    note: str = ""

    def __post_init__(self) -> None:
        if self.rating not in ("", *RATINGS):
            raise ValueError(f"a rating must be one of {', '.join(RATINGS)}, not {self.rating!r}")

    @property
    def participant_id(self) -> str:
        """The participant's label with ``sub-``."""
        return self.run.partition("_")[0]


def ratings_path(output_dir: Path) -> Path:
    """Return where the ratings of an output directory are kept."""
    return output_dir / "ratings.tsv"


def rating_files(paths: Iterable[Path]) -> list[Path]:
    """Return the tables of ratings: files as given, and those in a folder by the name that the page saves."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob(_PATTERN)) if path.is_dir() else [path]
    return files


def read_ratings(paths: Iterable[Path]) -> dict[str, Rating]:
    """Return the ratings of tables, or of folders with tables, by run.

    Rows without rating and note are skipped.

    Raises
    ------
    InputRefusedError
        If a table cannot be read, a rating is none of ``RATINGS``, or two rows rate one run differently.
    """
    problems: list[str] = []
    ratings: dict[str, Rating] = {}
    origins: dict[str, str] = {}
    for path in rating_files(paths):
        rows, bad = _rows(path)
        problems += bad
        for number, row in rows:
            place = f"{path}, line {number}"
            try:
                rating = _rating(row)
            except ValueError as error:
                problems.append(f"{place}: {error}")
                continue
            if not (rating.rating or rating.note):
                continue
            earlier = ratings.get(rating.run)
            if earlier is None or not earlier.rating:  # a note alone gives way to a rating
                ratings[rating.run], origins[rating.run] = rating, place
            elif rating.rating not in ("", earlier.rating):
                problems.append(
                    f"{place}: {rating.run} is rated {rating.rating!r}, but {earlier.rating!r} in "
                    f"{origins[rating.run]}; keep one of them"
                )
    if problems:
        raise InputRefusedError(problems)
    return ratings


def write_rating(path: Path, rating: Rating) -> None:
    """Put the rating of one run into a table: replace its row, or add one; other rows and columns stay.

    Raises
    ------
    InputRefusedError
        If the table that is there is not one of ratings, as for :func:`read_ratings`.
    QsmAppError
        If the table cannot be written.
    """
    table: dict[str, dict[str, str]] = {}
    if path.is_file():
        read_ratings([path])
        table = {row["run"]: row for _, row in _rows(path)[0]}
    new = {"participant_id": rating.participant_id, "run": rating.run, "rating": rating.rating, "note": rating.note}
    table[rating.run] = table.get(rating.run, {}) | new
    names = list(dict.fromkeys([*COLUMNS, *(name for row in table.values() for name in row)]))
    write_table(path, [{name: table[run].get(name) or None for name in names} for run in sorted(table)])


def _rating(row: dict[str, str]) -> Rating:
    if not row["run"].startswith("sub-"):
        raise ValueError(f"{row['run'] or 'n/a'!r} is no run: write its name, sub-01_ses-1 for example")
    rating = Rating(row["run"], row["rating"].lower(), row.get("note", ""))
    if row.get("participant_id", "") not in ("", rating.participant_id):
        raise ValueError(f"participant_id {row['participant_id']} and run {rating.run} do not go together")
    return rating


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Return line number and cells of each row, missing ones as empty text, and what is wrong with the table."""
    try:
        text, _ = decoded(path.read_bytes())
    except OSError as error:
        return [], [f"{path} cannot be read: {error.strerror or error}"]
    lines = cells_of(text)
    header = [name.strip() for name in lines[0]] if lines else []
    lacking = [name for name in ("run", "rating") if name not in header]
    if lacking:
        return [], [f"{path}, line 1: there is no column {' and no column '.join(lacking)}; tabs separate the columns"]
    rows, problems = [], []
    for number, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"{path}, line {number}: has {len(cells)} cells, the header has {len(header)}")
            continue
        rows.append((number, dict(zip(header, _present(cells), strict=True))))
    return rows, problems


def _present(cells: Sequence[str]) -> list[str]:
    return ["" if cell.strip() in _MISSING else cell.strip() for cell in cells]
