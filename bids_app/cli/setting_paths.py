"""Paths among the settings, made absolute: steps run in other folders, and on other machines."""

import argparse
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from bids_app.cli.types import command_line, folder_or_name, pattern
from bids_app.errors import UsageError
from bids_app.model.json_values import JsonObject, JsonValue


def _path(text: str) -> str:
    return str(Path(text).absolute()) if text else text


def _program(text: str) -> str:
    return command_line(text) if "{" in text and _is_command(text) else text


def _is_command(text: str) -> bool:
    """Return whether a text can be split into words; what cannot is refused where it is used."""
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


def _python(text: str) -> str:
    """Return the first word of a command absolute where it is a file here."""
    first, space, rest = text.partition(" ")
    return f"{Path(first).absolute()}{space}{rest}" if "/" in first and Path(first).is_file() else text


#: How the paths in each parameter become absolute.
_PATHS: Mapping[tuple[str, ...], Callable[[str], str]] = {
    ("segmentation", "which"): pattern,
    ("segmentation", "extra"): pattern,
    ("segmentation", "atlas"): folder_or_name,
    ("segmentation", "fastsurfer_home"): _path,
    ("segmentation", "derivatives"): _path,
    ("fastsurfer", "python"): _python,
    ("brain_extraction", "program"): _program,
    ("group", "template"): folder_or_name,
    ("group", "dseg"): _path,
    ("group", "labels"): _path,
    ("inversion", "onnx", "model"): _path,
}


#: What separates the words of lists that are spelled as one text.
_SEPARATORS = {"which": ",", "extra": os.pathsep, "derivatives": os.pathsep}


def with_absolute_paths(tree: JsonObject) -> JsonObject:
    """Return settings in which what names a place here does so from the root on; names and other values stay.

    Raises
    ------
    UsageError
        If a text can be no path: it is too long, or has control characters.
    """
    for keys, absolute in _PATHS.items():
        try:
            tree = _changed(tree, keys, absolute)
        except argparse.ArgumentTypeError as error:
            raise UsageError(f"{'.'.join(keys)}: {error}") from error
    return tree


def _changed(tree: JsonObject, keys: tuple[str, ...], absolute: Callable[[str], str]) -> JsonObject:
    first, *rest = keys
    value = tree.get(first)
    if rest:
        return {**tree, first: _changed(value, tuple(rest), absolute)} if isinstance(value, dict) else tree
    if isinstance(value, str) and first in _SEPARATORS and not (first == "which" and "/" in value):
        value = value.split(_SEPARATORS[first])
    return tree if value is None else {**tree, first: _absolute(value, absolute)}


def _absolute(value: JsonValue, absolute: Callable[[str], str]) -> JsonValue:
    if isinstance(value, list | tuple):
        return [_absolute(part, absolute) for part in value]
    return absolute(value) if isinstance(value, str) and value.strip() else value
