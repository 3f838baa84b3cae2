"""What the user has chosen so far, and the command that does it."""

import argparse
import contextlib
import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bids_app.cli.options import LEVELS, build_parser
from bids_app.convert.model import SeriesOutcome
from bids_app.convert.name.series_table import KEYS, VALUES
from bids_app.derivatives.files import write_table
from bids_app.errors import UsageError

if TYPE_CHECKING:
    from bids_app.cli.config import Config

#: What a folder can hold, and the option that converts it.
BIDS, DICOM, NIFTI, RESULTS = "bids", "dicom", "nifti", "results"
SOURCES = {DICOM: "dicom_dir", NIFTI: "nifti_dir"}
#: Where the corrections of single series are kept below the output folder.
_SERIES = Path("logs") / "conversion_series.tsv"


@dataclass
class Plan:
    """The choices of the user; everything that the command needs."""

    folder: Path | None = None
    kind: str = ""
    bids_dir: Path | None = None
    output_dir: Path | None = None
    levels: tuple[str, ...] = ("participant",)
    #: Values of options as the user types them by destination; flags are ``true``.
    options: dict[str, str] = field(default_factory=dict)
    #: Values of parameters (``--set``) by name.
    parameters: dict[str, str] = field(default_factory=dict)
    #: Corrections of single series, name and part, by the hash of the series.
    series: dict[str, tuple[SeriesOutcome, str, str]] = field(default_factory=dict)

    def take(self, folder: Path, kind: str, results: Path | None = None) -> None:
        """Choose a folder, and what follows from it."""
        if (folder, kind) != (self.folder, self.kind):
            self.series.clear()
        self.folder, self.kind = folder, kind
        if kind == RESULTS:
            self.output_dir, self.bids_dir = folder, results
            return
        self.bids_dir = folder if kind == BIDS else folder.parent / "bids"
        self.output_dir = self.bids_dir / "derivatives" / "qsm"
        others = [level for level in self.levels if level != "convert"]
        self.levels = (*(["convert"] if kind in SOURCES else []), *(others or ["participant"]))

    @property
    def series_file(self) -> Path | None:
        """Where corrections of series are kept."""
        return self.output_dir / _SERIES if self.output_dir else None

    def set_level(self, level: str, wanted: bool) -> None:
        """Choose a level or leave it out."""
        self.levels = tuple(name for name in LEVELS if (wanted if name == level else name in self.levels))

    def words(self) -> list[str]:
        """Return the arguments of the command; what is not chosen yet stands in capitals."""
        words = [str(self.bids_dir or "BIDS_DIR"), str(self.output_dir or "OUTPUT_DIR"), *self.levels]
        chosen = dict(self.options)
        if self.kind in SOURCES and "convert" in self.levels:
            chosen[SOURCES[self.kind]] = shlex.quote(str(self.folder))
            if self.series:
                chosen["series"] = shlex.quote(str(self.series_file))
        for action in build_parser()._actions:
            if action.dest in chosen and action.option_strings:
                words += spelled(action, chosen[action.dest])
        for name, value in self.parameters.items():
            words += ["--set", f"{name}={value}"]
        return words

    @property
    def command(self) -> str:
        """The command as it is typed in a shell."""
        return shlex.join(["qsm-bids-app", *self.words()])

    def config(self) -> "Config":
        """Return what the command makes of its arguments; raises UsageError where one is wrong."""
        from bids_app.cli.config import from_arguments

        with contextlib.redirect_stderr(io.StringIO()):  # warnings come again when the command runs
            return from_arguments(build_parser().parse_args(self.words()))

    def problem(self) -> str:
        """Return what is wrong with the command line and the settings, or an empty text."""
        try:
            self.config()
        except UsageError as error:
            return str(error).partition("\n")[0]
        except SystemExit:  # an option that prints and ends
            return "this option prints something and ends the command"
        return ""

    def effective(self) -> dict[str, object]:
        """Return the nested values of all parameters without the user's own; empty where the options are wrong."""
        from bids_app.cli.config import settings_from_arguments

        words = [*replace(self, parameters={}).words()]
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                settings = settings_from_arguments(build_parser().parse_args(words))
        except (UsageError, SystemExit):
            return {}
        return {
            name: section.choice.to_mapping() | {m: params.to_mapping() for m, params in section.methods.items()}
            for name, section in settings.sections.items()
        }

    def write_series(self) -> None:
        """Write the corrections of single series to their file; raises QsmAppError where it cannot be written."""
        if self.series_file is None or not self.series:
            return
        rows: list[Mapping[str, object]] = []
        for outcome, name, part in self.series.values():
            facts = {
                "subject": outcome.subject,
                "session": outcome.session,
                "series": outcome.number,
                "description": None,  # it may hold any character; the hash names the series
                "source": None,
                "series_hash": outcome.uid,
                "name": name or None,
                "part": part or None,
            }
            rows.append({column: facts[column] for column in (*KEYS, *VALUES)})
        write_table(self.series_file, rows)


def spelled(action: argparse.Action, text: str) -> list[str]:
    """Return an option as words of the command line, its value as the user has typed it."""
    flag = max(action.option_strings, key=len)
    if action.nargs == 0:
        return [flag]
    try:
        several = shlex.split(text)
    except ValueError:  # a quote that is still open
        several = [text]
    if isinstance(action, argparse._AppendAction):
        return [word for value in several for word in _one(flag, value)]
    if action.nargs is None:
        return _one(flag, several[0] if len(several) == 1 else text)
    return [flag, *several]


def _one(flag: str, value: str) -> list[str]:
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]
