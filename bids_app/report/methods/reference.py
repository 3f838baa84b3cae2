"""One work of the bibliography, and the reader of the ``.bib`` file that holds them all."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """One work."""

    key: str
    authors: str  # "Family A, Family B"
    year: int
    title: str
    journal: str
    where: str  # volume and pages
    doi: str  # empty where none is known for sure
    bibtex: str  # the entry as it stands in the file

    @property
    def short(self) -> str:
        """``Family et al. 2021``."""
        names = self.authors.split(", ")
        families = [name.rpartition(" ")[0] or name for name in names]
        if len(names) == 1:
            return f"{families[0]} {self.year}"
        return (
            f"{families[0]} and {families[1]} {self.year}" if len(names) == 2 else f"{families[0]} et al. {self.year}"
        )

    @property
    def url(self) -> str:
        """The work's permanent address, empty where it has no DOI."""
        return f"https://doi.org/{self.doi}" if self.doi else ""

    @property
    def text(self) -> str:
        """The work as a line of a list of references."""
        return f"{self.plain} doi:{self.doi}" if self.doi else self.plain

    @property
    def plain(self) -> str:
        """The line without the DOI."""
        authors = self.authors.replace(", others", " et al")
        return f"{authors}. {self.title}. {self.journal} {self.year};{self.where}."


def read_bibtex(text: str) -> dict[str, Reference]:
    """Return the articles of a BibTeX text by key.

    Entries are ``@article{key, name = {value}, ...}``; values stand in braces, which may be nested.

    Raises
    ------
    ValueError
        For an entry that cannot be read, lacks a field, or has the key of another one; the message names it.
    """
    references: dict[str, Reference] = {}
    for kind, key, body in _entries(text):
        if kind.lower() != "article":
            raise ValueError(f"{key}: @{kind} is not known; write @article")
        if key in references:
            raise ValueError(f"{key} stands in the bibliography twice")
        references[key] = _reference(key, dict(_fields(key, body)), f"@{kind}{{{key},{body}}}\n")
    return references


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield kind, key and the rest of each entry; text between entries is comment."""
    at = 0
    while head := re.compile(r"^@(\w+)\s*\{\s*([^\s,{}]+)\s*,", re.MULTILINE).search(text, at):
        end = _closing(text, head.start(1) + len(head[1]), head[2])
        yield head[1], head[2], text[head.end() : end]
        at = end + 1


def _fields(key: str, body: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each field of an entry."""
    at = 0
    while head := re.compile(r"\s*,?\s*(\w+)\s*=\s*(?=\{)").match(body, at):
        end = _closing(body, head.end(), key)
        yield head[1].lower(), _unbraced(" ".join(body[head.end() : end + 1].split()))
        at = end + 1
    if body[at:].strip(" \n\t,"):
        rest = body[at:].strip(" \n\t,").partition("\n")[0]
        raise ValueError(f"{key}: cannot read {rest!r}; values stand in braces")


def _closing(text: str, opening: int, key: str) -> int:
    """Return the place of the brace that closes the first one from ``opening`` on."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if text[place] == "}" and depth == 0:
            return place
    raise ValueError(f"{key}: a brace is not closed")


def _unbraced(value: str) -> str:
    """Return a value without the braces around all of it."""
    while value.startswith("{") and _closing(value, 0, value) == len(value) - 1:
        value = value[1:-1].strip()
    return value


def _reference(key: str, values: Mapping[str, str], entry: str) -> Reference:
    for name in ("author", "title", "journal", "year", "volume", "pages"):
        if not values.get(name):
            raise ValueError(f"{key}: there is no {name}")
    names = (name.partition(", ") for name in values["author"].split(" and "))
    issue = f"({values['number']})" if "number" in values else ""
    return Reference(
        key,
        ", ".join(f"{family} {initials}".strip() for family, _, initials in names),
        int(values["year"]),
        values["title"],
        values["journal"],
        f"{values['volume']}{issue}:{values['pages'].replace('--', '-')}",
        values.get("doi", ""),
        entry,
    )
