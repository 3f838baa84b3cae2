"""Types of options: what is no value of an option is refused by the parser, and places become absolute."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

#: Longest time to wait for a shared disk: a day.
_MAX_SECONDS = 86_400.0


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    value = int(text)
    if not 1 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1000000, got {text}")
    return value


def part(text: str) -> tuple[int, int]:
    """Read ``3/12``."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"must be like 3/12, got {text}")
    return int(number), int(count)


def gigabytes(text: str) -> float:
    """Read a positive number of gigabytes."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a positive number of gigabytes, got {text}")
    return value


def seconds(text: str) -> float:
    """Read a time that ends."""
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= _MAX_SECONDS):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to {_MAX_SECONDS:g}, got {text}")
    return value


def label(text: str) -> str:
    """Read a label; an empty one means nothing, and never everybody.

    A variable that is not set in a script gives an empty label.
    """
    if not all(piece.removeprefix("sub-").removeprefix("ses-") for piece in (text.replace(",", " ").split() or [""])):
        raise argparse.ArgumentTypeError("a label is empty; leave the option out for all")
    return text


def place(text: str) -> Path:
    """Read a path, absolute from here on: jobs start in other folders."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text).absolute()


def place_or_name(is_place: Callable[[Path], bool]) -> Callable[[str], str]:
    """Return a type that makes a path absolute where there is one, and leaves a name as it is."""

    def read(text: str) -> str:
        return str(Path(text).absolute()) if text and is_place(Path(text)) else text

    return read


def file_or_name(text: str) -> str:
    """Read a file, or a name of something that comes with the app."""
    return place_or_name(lambda path: path.is_file() and (len(path.parts) > 1 or path.suffix != ""))(text)


def folder_or_name(text: str) -> str:
    """Read a folder, which may be followed by ``:LABEL``, or a name."""
    folder, colon, rest = text.partition(":")
    return place_or_name(Path.is_dir)(folder) + colon + rest
