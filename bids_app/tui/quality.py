"""Quality control of the maps that are there: metrics out of their ranges, and people's ratings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_app.derivatives.ratings import Rating, ratings_path, read_ratings, write_rating
from bids_app.model.json_values import JsonObject

_SUFFIX = "_qc.json"


@dataclass(frozen=True)
class Quality:
    """The metrics of one run."""

    run: str
    numbers: Mapping[str, JsonObject]
    problem: str = ""  # why there are none

    @property
    def subject(self) -> str:
        """The participant's label with ``sub-``."""
        return self.run.partition("_")[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the metrics out of their ranges."""
        return tuple(name for name, number in self.numbers.items() if number.get("flag"))


def qualities(output_dir: Path) -> list[Quality]:
    """Return the metrics of all runs of an output folder, by name."""
    paths = [*output_dir.glob(f"sub-*/*/*{_SUFFIX}"), *output_dir.glob(f"sub-*/ses-*/*/*{_SUFFIX}")]
    return [_read(path) for path in sorted(set(paths), key=lambda path: path.name)]


def _read(path: Path) -> Quality:
    run = path.name.removesuffix(_SUFFIX)
    try:
        numbers = json.loads(path.read_text(encoding="utf-8"))["numbers"]
        assert isinstance(numbers, dict)
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        return Quality(run, {}, f"{path.name} cannot be read; run the command again to write it")
    return Quality(run, numbers)


def ratings(output_dir: Path) -> dict[str, Rating]:
    """Return the ratings that are kept; raises InputRefusedError where the table is damaged."""
    path = ratings_path(output_dir)
    return read_ratings([path]) if path.is_file() else {}


def rate(output_dir: Path, rating: Rating) -> None:
    """Keep a rating; raises QsmAppError where it cannot be written."""
    write_rating(ratings_path(output_dir), rating)


def described(quality: Quality) -> str:
    """Return what is out of range and what to do, then all metrics, in sentences."""
    if quality.problem:
        return quality.problem
    lines = []
    for name in quality.flags:
        number = quality.numbers[name]
        lines += [f"▲ {name} is too {number['flag']}: {_value(number)}; expected: {_range(number)}"]
        lines += [". ".join(filter(None, [number["meaning"], number.get("advice")])) + ".", ""]
    if not quality.flags:
        lines += ["✓ All metrics are in their expected ranges.", ""]
    lines += [f"{name}: {_value(number)}" for name, number in quality.numbers.items() if name not in quality.flags]
    return "\n".join(lines)


def _value(number: JsonObject) -> str:
    unit = "" if number["unit"] == "1" else f" {number['unit']}"
    return "not known" if number["value"] is None else f"{number['value']:.4g}{unit}"


def _range(number: JsonObject) -> str:
    low, high = number.get("expected") or number["usual"]  # files of 0.1.0 call the range so
    if low is None:
        return f"{high:g} or less"
    return f"{low:g} or more" if high is None else f"{low:g} to {high:g}"


def report_of(output_dir: Path, subject: str = "") -> Path | None:
    """Return the page of a participant, else the group's, else any; None where there is none."""
    pages = [output_dir / f"{subject}.html"] if subject else [output_dir / "group.html"]
    pages += sorted(output_dir.glob("*.html"))
    return next((page for page in pages if page.is_file()), None)
