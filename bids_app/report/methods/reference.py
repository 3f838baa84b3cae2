"""The bibliography: every work that the app stands on, for readers and as BibTeX; the works are in ``works_*``."""

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

    @property
    def bibtex(self) -> str:
        """The work as an entry of a ``.bib`` file."""
        people = " and ".join(_bibtex_name(name) for name in self.authors.split(", "))
        volume, _, pages = self.where.partition(":")
        doi = f",\n  doi = {{{self.doi}}}" if self.doi else ""
        return (
            f"@article{{{self.key},\n  author = {{{people}}},\n  title = {{{{{self.title}}}}},\n"
            f"  journal = {{{self.journal}}},\n  year = {{{self.year}}},\n  volume = {{{volume.split('(')[0]}}},\n"
            f"  pages = {{{pages.replace('-', '--')}}}{doi}\n}}\n"
        )


def _bibtex_name(name: str) -> str:
    family, _, initials = name.rpartition(" ")
    return f"{family}, {initials}" if family else name  # "others" stands alone, as BibTeX wants it
