"""Terms of a model in words and units that a scientist writes, and the groups that dots are coloured by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bids_app.report.charts import number
from bids_app.report.svg import CHARACTER, Drawing

_MISSING = ("", "n/a")
#: As many groups have a colour of their own.
_COLOURED = 5
_LEVEL = re.compile(r"^(?P<name>.+?)\[T\.(?P<level>.+)\]$")
_REFERENCE = re.compile(r"reference\s*=\s*['\"]?([^'\")]+)")

Rows = Sequence[Mapping[str, str]]
Levels = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Groups:
    """The levels of a column, and which one each run has: its dots have one colour."""

    column: str = ""
    levels: tuple[str, ...] = ()
    of_run: Mapping[str, str] = field(default_factory=dict)

    def number(self, run: str) -> str:
        """Return the number of a run's group, empty where it has none."""
        level = self.of_run.get(run)
        return str(self.levels.index(level)) if level in self.levels else ""

    def legend(self, drawing: Drawing, left: float, y: float) -> None:
        """Write which colour is which group."""
        for place, level in enumerate(self.levels):
            drawing.dot(left + 4, y - 4, "", f"{self.column}: {level}", group=str(place))
            drawing.text(left + 12, y, level[:18])
            left += 26 + CHARACTER * len(level[:18])


def levels_of(rows: Rows) -> dict[str, list[str]]:
    """Return the values of every column of words, sorted."""
    levels = {}
    for name in rows[0] if rows else ():
        values = sorted({row[name] for row in rows if row[name] not in _MISSING})
        if values and not all(number(value) == number(value) for value in values):
            levels[name] = values
    return levels


def groups_of(rows: Rows, formula: str) -> Groups:
    """Return the groups of the formula's factor ``group``, else of its first factor, else of the column ``group``."""
    levels = levels_of(rows)
    names = re.findall(r"[^\W\d]\w*", formula.partition("~")[2])
    factors = [name for name in names if name in levels or re.search(rf"\bC\(\s*{re.escape(name)}\b", formula)]
    for name in (*sorted(factors, key=lambda factor: factor != "group"), "group"):
        known = levels.get(name) or sorted({row[name] for row in rows if row.get(name, "") not in _MISSING})
        if 2 <= len(known) <= _COLOURED:
            return Groups(name, tuple(known), {row["run"]: row[name] for row in rows})
    return Groups()


def words_of(term: str, levels: Levels) -> str:
    """Return a term in words.

    Examples
    --------
    >>> words_of("age:group[T.patient]", {"group": ["control", "patient"]})
    'age × group: patient against control'
    """
    return " \N{MULTIPLICATION SIGN} ".join(_factor(part, levels) for part in _parts(term))


def _factor(part: str, levels: Levels) -> str:
    match = _LEVEL.match(part)
    if match is None:
        return _column(part)
    column, given = _column(match["name"]), _REFERENCE.search(match["name"])
    reference = given[1] if given else next(iter(levels.get(column, ())), "")
    return f"{column}: {match['level']} against {reference or 'the others'}"


def _column(text: str) -> str:
    """Return the column of ``C(group)``, ``C(group, Treatment('a'))`` or ``Q('group')``; other texts as they are."""
    inner = re.match(r"^[CQ]\(\s*['\"]?([^,'\")]+)['\"]?\s*(?:,.*)?\)$", text)
    return inner[1].strip() if inner else text


def _parts(term: str) -> list[str]:
    """Return the factors of an interaction: colons inside brackets belong to a level."""
    parts, depth = [""], 0
    for letter in term:
        depth += (letter in "[(") - (letter in "])")
        if letter == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def unit_of_term(term: str, response: str, units: Mapping[str, str]) -> str:
    """Return the unit of a term's estimate.

    Examples
    --------
    >>> unit_of_term("age", "ppm", {"age": "year"})
    'ppm per year'
    """
    numeric = [part for part in _parts(term) if "[" not in part]
    per = [units.get(_column(part)) or f"unit of {part}" for part in numeric]
    return " per ".join([response or "unit of the response", *per])
