"""Types of options: what is no value of an option is refused by the parser, and places become absolute."""

import argparse
import math
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

from bids_app.errors import UsageError

#: Longest time to wait for a shared disk: a day.
_MAX_SECONDS = 86_400.0
#: Fields of scanners, T; so many characters of a wrong value are shown.
_MIN_T, _MAX_T, _SHOWN = 0.05, 25.0, 40
#: Bytes of the longest name of a file.
_LONGEST_NAME = 255
#: A whole number: no sign, no more digits than any option takes.
_WHOLE = re.compile(r"[0-9]{1,12}")
#: A size of memory: a number, and a unit that may be left out.
_SIZE = re.compile(r"\s*(?P<number>\d{1,9}(?:\.\d*)?|\.\d+)\s*(?P<unit>|[MGT]|[MGT]B|[MGT]iB)\s*", re.IGNORECASE)
_GIGABYTES = {
    "": 1.0,
    **{f"{letter}{end}": scale for letter, scale in (("M", 1e-3), ("G", 1.0), ("T", 1e3)) for end in ("", "B")},
    **{f"{letter}IB": 1024**power / 1e9 for letter, power in (("M", 2), ("G", 3), ("T", 4))},
}
#: Memory that can be meant, GB: less holds no process, more is no machine.
_MIN_GB, _MAX_GB = 0.1, 1e5


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    return _whole(text, 1, 1_000_000)


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    return _whole(text, 0, 1_000_000)


def _whole(text: str, low: int, high: int) -> int:
    if not (_WHOLE.fullmatch(text) and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {_cut(text)!r}")
    return int(text)


def words(text: str) -> str:
    """Read a text that is not empty: a variable that is not set in a script gives an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a value or leave the option out")
    return _printable(text)


def _printable(text: str) -> str:
    """Return a text that is one line; control characters are refused."""
    if any(ord(character) < ord(" ") for character in text):
        raise argparse.ArgumentTypeError(f"has a control character or a line break, got {_cut(text)!r}")
    return text


def _possible(text: str) -> str:
    """Return a path or a name; one that is longer than any file's name is refused."""
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in text.split("/")):
        raise argparse.ArgumentTypeError(f"is too long, got {_cut(text)!r}")
    return text


def part(text: str) -> tuple[int, int]:
    """Read ``3/12``."""
    number, _, parts = text.partition("/")
    if not (_WHOLE.fullmatch(number) and _WHOLE.fullmatch(parts) and 1 <= int(number) <= int(parts)):
        raise argparse.ArgumentTypeError(f"must be like 3/12, got {_cut(text)!r}")
    return int(number), int(parts)


def gigabytes(text: str) -> float:
    """Read a positive number of gigabytes; ``8``, ``8GB``, ``8 GiB``, ``8000M`` and ``0.5T`` are understood."""
    number = _SIZE.fullmatch(text)
    value = float(number["number"]) * _GIGABYTES[number["unit"].upper()] if number else math.nan
    if not _MIN_GB <= value <= _MAX_GB:
        raise argparse.ArgumentTypeError(
            f"must be a size from {_MIN_GB:g} to {_MAX_GB:g} gigabytes, such as 8, 8GB or 8000MB, got {_cut(text)!r}"
        )
    return value


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, got {_cut(text)!r}")
    return value


def tesla(text: str) -> float:
    """Read the strength of a main field."""
    value = number(text)
    if not _MIN_T <= value <= _MAX_T:
        raise argparse.ArgumentTypeError(f"must be a field from {_MIN_T:g} to {_MAX_T:g} tesla, got {_cut(text)!r}")
    return value


def seconds(text: str) -> float:
    """Read a time that ends."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0 <= value <= _MAX_SECONDS):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to {_MAX_SECONDS:g}, got {_cut(text)!r}")
    return value


def label(text: str) -> str:
    """Read a label; an empty one means nothing, and never everybody.

    A variable that is not set in a script gives an empty label.
    """
    if not all(piece.removeprefix("sub-").removeprefix("ses-") for piece in (text.replace(",", " ").split() or [""])):
        raise argparse.ArgumentTypeError("a label is empty; leave the option out for all")
    return _printable(text)


def desc(text: str) -> str:
    """Read the label of a description, with or without ``desc-``."""
    name = text.removeprefix("desc-")
    if not (name.isascii() and name.isalnum()):
        raise argparse.ArgumentTypeError(f"must be letters and digits, got {_cut(text)!r}")
    return name


def place(text: str) -> Path:
    """Read a path, absolute from here on: jobs start in other folders."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(_possible(text)).absolute()


def place_or_name(is_place: Callable[[Path], bool]) -> Callable[[str], str]:
    """Return a type that makes a path absolute where there is one, and leaves a name as it is."""

    def read(text: str) -> str:
        return str(Path(text).absolute()) if is_place(Path(_possible(words(text)))) else text

    return read


def file_or_name(text: str) -> str:
    """Read a file, or a name of something that comes with the app: ``./name`` is a file, whatever its name."""
    is_path = "/" in text
    return place_or_name(lambda path: path.is_file() and (is_path or path.suffix != ""))(text)


def pattern(text: str) -> str:
    """Read a method, or a pattern of files; one that begins in this folder (``./``) or above it becomes absolute."""
    return os.path.normpath(Path(words(text)).absolute()) if text.startswith(("./", "../")) else words(text)


def command_line(text: str) -> str:
    """Read a command line; programs, scripts and images in files that lie here are named from the root on.

    A single word that is no path is the name of a known program, and stays.
    """
    try:
        split = shlex.split(words(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"cannot be split into words ({error}), got {_cut(text)!r}") from error
    placed = [_placed(word) for word in split]
    return text if placed == split else shlex.join(placed)


def _placed(word: str) -> str:
    if len(word) > _LONGEST_NAME or not ("/" in word or Path(word).suffix):
        return word
    return str(Path(word).absolute()) if Path(word).is_file() else word


def folder_or_name(text: str) -> str:
    """Read a folder, which may be followed by ``:LABEL``, or a name."""
    whole = ":" not in text or Path(_possible(text)).is_dir()
    folder, colon, rest = (text, "", "") if whole else text.rpartition(":")
    return place_or_name(Path.is_dir)(folder) + colon + rest


def derivative_dataset(path: Path) -> Path:
    """Return the absolute path of a derivative dataset, which has a folder of a participant somewhere."""
    if not path.is_dir():
        raise UsageError(f"--derivatives: {path} is not a folder")
    if not any(next(path.glob(f"{above}sub-*"), None) for above in ("", "*/", "*/*/")):
        raise UsageError(
            f"--derivatives: {path} has no folder of a participant; files are expected in places such as "
            f"{path / 'sub-01' / 'anat' / 'sub-01_desc-brain_mask.nii.gz'}"
        )
    return path.absolute()
