"""Declaring the parameters of a method: a frozen dataclass whose fields carry range, unit and meaning.

One declaration serves validation, ``--set section.method.name=value``, presets, documentation and sidecars::

    @dataclass(frozen=True)
    class TkdParams(Params):
        threshold: float = param(0.19, low=0.01, high=1 / 3, unit="", doc="Kernel magnitude kept as it is")
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self, TypeVar, cast

from bids_app.errors import ParameterError

V = TypeVar("V", bool, int, float, str, tuple[str, ...])
#: A value of a parameter.
Value = bool | int | float | str | tuple[str, ...]

#: Numbers beyond this mean nothing, and so many characters of a wrong one are shown.
_LARGEST, _SHOWN = 1e300, 40


def param(
    default: V,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    unit: str = "",
    separator: str = ",",
    doc: str,
) -> V:
    """Declare one field of a Params class with its inclusive range or choices, unit and one-line meaning.

    A tuple of words as ``default`` declares a list; one text stands for its words with ``separator`` between them.
    """
    metadata = {"low": low, "high": high, "choices": choices, "unit": unit, "separator": separator, "doc": doc}
    return dataclasses.field(default=default, metadata=metadata)


def _shown(value: object) -> str:
    """Return a wrong value as it is shown, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def nearest(name: str, valid: list[str]) -> str:
    """Return a hint naming the most similar valid name, or the list of all."""
    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(sorted(valid))}"


@dataclass(frozen=True)
class Params:
    """Base of all parameter classes; checks types and ranges when made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> Self:
        """Make the parameters from a mapping (a preset's table); unknown names raise with the nearest valid one."""
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise ParameterError(f"unknown parameter {key!r}: {nearest(key, names)}")
        return cls(**cast("dict[str, Value]", dict(values)))

    def to_mapping(self) -> dict[str, Value]:
        """Return plain values by name, in declared order (for sidecars, records and presets)."""
        return dataclasses.asdict(self)


def _words(name: str, value: object, separator: str) -> tuple[str, ...]:
    """Return a list of texts as a tuple; one text is split at the separator."""
    words = value.split(separator) if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ParameterError(f"{name} must be a list of texts, got {_shown(value)}")
    return tuple(word.strip() for word in words if word.strip())


def _checked(field: "dataclasses.Field[Value]", value: object) -> object:
    """Return ``value`` in the type of the field's default, or raise ParameterError."""
    name, default, meta = field.name, field.default, field.metadata
    if isinstance(default, tuple):
        return _words(name, value, meta.get("separator", ","))
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ParameterError(f"{name} must be true or false, got {_shown(value)}")
        return value
    if isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
            raise ParameterError(f"{name} must be a finite number, got {_shown(value)}")
        if isinstance(default, int):
            if value != int(value):
                raise ParameterError(f"{name} must be a whole number, got {_shown(value)}")
            value = int(value)
        else:
            value = float(value)
        low, high = meta.get("low"), meta.get("high")
        if (low is not None and value < low) or (high is not None and value > high):
            raise ParameterError(f"{name} must be between {low} and {high}, got {_shown(value)}")
        return value
    if isinstance(default, str):
        choices = list(meta.get("choices") or ())
        if not isinstance(value, str) or (choices and value not in choices):
            raise ParameterError(f"{name} cannot be {_shown(value)}: {nearest(str(value), choices)}")
    return value


@dataclass(frozen=True)
class Described:
    """What a parameter is: its value, the values that it takes, its unit and its meaning."""

    name: str
    value: Value
    choices: tuple[str, ...]
    low: float | None
    high: float | None
    unit: str
    doc: str


def described(params: Params) -> list[Described]:
    """Return what every parameter of a class is, in declared order; for ``--explain`` and the reference pages."""
    return [
        Described(
            field.name,
            getattr(params, field.name),
            tuple(field.metadata.get("choices") or ()),
            field.metadata.get("low"),
            field.metadata.get("high"),
            str(field.metadata.get("unit") or ""),
            str(field.metadata["doc"]),
        )
        for field in dataclasses.fields(params)
    ]
