"""What the stages of ``qsm`` take from the command line: methods, parameters, and images."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bids_app import qsm
from bids_app.cli.stages.images import Image, load, load_echoes, stem_of
from bids_app.errors import InputRefusedError, ParameterError, UsageError
from bids_app.model.json_values import value_of
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.params import Params, nearest
from bids_app.qsm.phase.scaling import to_radians
from bids_app.qsm.registry import AnyMethod

M = TypeVar("M")
#: Size of the largest part of a direction, as the checks of sidecars have it.
_MIN, _MAX = 1e-3, 1e3


def b0_dir(args: argparse.Namespace) -> tuple[float, ...] | None:
    """Return the direction of the main field that ``--b0-dir`` gives, None for ``auto``."""
    if args.b0_dir == ["auto"]:
        return None
    try:
        numbers = tuple(float(part) for part in args.b0_dir)
    except ValueError:
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)) or not _MIN <= max(map(abs, numbers)) <= _MAX:
        said = " ".join(args.b0_dir)[:40]
        raise UsageError(
            f"--b0-dir must be auto or three numbers (the largest between {_MIN:g} and {_MAX:g}), got {said}"
        )
    return numbers


def method_of(registry: Mapping[str, M], name: str) -> M:
    """Return a method by its name; an unknown name is a usage error with the nearest one."""
    if name not in registry:
        raise UsageError(f"--method: no method {name!r}: {nearest(name, list(registry))}")
    return registry[name]


def parameters_of(method: AnyMethod, words: Sequence[str]) -> Params:
    """Return a method's parameters with those of the command line: ``--delta 0.1`` or ``--delta=0.1``."""
    values: dict[str, object] = {}
    rest = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    names = list(method.params().to_mapping())
    while rest:
        word = rest.pop(0)
        name = word.removeprefix("--").replace("-", "_")
        name = f"{name}_" if name not in names and f"{name}_" in names else name
        if not word.startswith("--") or name not in names:
            raise UsageError(f"{method.label} has no parameter {word}: {nearest(name, names)}")
        if not rest:
            raise UsageError(f"{word} needs a value")
        values[name] = value_of(rest.pop(0))
    try:
        return method.params.from_mapping(method.params().to_mapping() | values)
    except ParameterError as error:
        raise UsageError(f"{method.label}: {error}") from error


def phase_of(paths: Sequence[Path]) -> tuple[Image, str]:
    """Return the phase of the echoes in radians, and how it was scaled."""
    stored = load_echoes(paths)
    units, maker = stored.sidecar.get("Units"), str(stored.sidecar.get("Manufacturer", ""))
    scaled = to_radians(stored.data, units=None if units is None else str(units), manufacturer=maker)
    return Image(stored.path, scaled.phase, stored.affine, stored.sidecar), scaled.note


def magnitude_of(paths: Sequence[Path] | None, phase: Image) -> FloatArray | None:
    """Return the magnitude of the echoes, which must be shaped like the phase; None where none is given."""
    if not paths:
        return None
    image = load_echoes(paths)
    if image.data.shape != phase.data.shape:
        raise InputRefusedError([f"{image.path} has shape {image.data.shape}, the phase {phase.data.shape}"])
    return image.data


def related(path: Path, word: str) -> Path:
    """Return the name of a further output: ``chi_mask.nii.gz`` for ``chi.nii.gz`` and ``mask``."""
    return path.with_name(f"{stem_of(path)}_{word}.nii.gz")


def preset_of(name: str) -> qsm.Options:
    """Return the options of a preset; an unknown name is a usage error with the nearest one."""
    try:
        return qsm.preset(name)
    except ParameterError as error:
        raise UsageError(f"--preset: {error}") from error


def volume_of(path: Path | None, like: Image) -> FloatArray | None:
    """Return a further image on the grid of another one (weights, a magnitude); None where none is given.

    Raises
    ------
    InputRefusedError
        If it lies on another grid.
    """
    if path is None:
        return None
    image = load(path)
    if not like.shares_grid(image.data.shape, image.affine):
        raise InputRefusedError([f"{path} does not lie on the grid of {like.path.name}: resample it first"])
    return image.data
