"""What is kept of a step that has run: inputs, outputs and their hashes, parameters, metrics, time and memory."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Self, TypeGuard

from bids_app.model.aliases import STEPS, product_key

JsonObject = Mapping[str, object]
#: No number of a record is larger.
_MAX_NUMBER = 1 << 63


@dataclass(frozen=True)
class FileState:
    """A file when a step read or wrote it."""

    path: str  # relative to the output directory
    hash: str
    size: int  # bytes
    mtime_ns: int


@dataclass(frozen=True)
class StepRecord:
    """The record of one step over one run (or image, or the group).

    ``inputs`` holds the digests of what the step has read, by the names that its declaration gives them (an input that
    is a product has its key: its digest is one of the ``outputs`` of the step that made it). ``outputs`` holds the
    digests of the bytes that were written, by product and file name. ``paths`` holds each product's own file relative
    to the output directory, ``files`` the state of all files that the step has read and written.
    """

    step: str
    basename: str
    title: str = ""
    status: str = "done"
    fingerprint: str = ""
    parameters: Mapping[str, JsonObject] = field(default_factory=dict)  # by section of the settings
    code_version: str = ""
    code: str = ""  # digest of the code that the step can reach, for its products and parameters
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    files: tuple[FileState, ...] = ()
    metrics: JsonObject = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    started: str = ""  # ISO 8601
    duration_s: float = 0.0
    peak_memory_bytes: int = 0
    threads: int = 1
    results: str = ""  # digest of metrics, warnings and methods

    def digest_of_results(self) -> str:
        """Return the digest of metrics, warnings and methods: the fingerprint does not say whether they are whole."""
        content = json.loads(json.dumps([self.metrics, self.warnings, self.methods]))
        return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()

    def section(self, name: str) -> JsonObject:
        """Return the parameters of one section; empty where the step does not read it."""
        return self.parameters.get(name, {})

    def number(self, name: str) -> float | None:
        """Return a metric that is a number, None where there is none."""
        value = self.metrics.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def to_mapping(self) -> dict[str, object]:
        """Return plain values, in the order of the fields."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, content: object) -> Self | None:
        """Return the record that a JSON file holds; None where the content is anything else.

        A field that is missing has its default; one of another type makes the whole record count as absent. Names of
        steps and products that earlier versions used are replaced by today's.
        """
        if not isinstance(content, dict) or not {"step", "basename"} <= content.keys():
            return None
        values = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        if not all(_CHECKS[name](value) for name, value in values.items()):
            return None
        values["step"] = STEPS.get(values["step"], values["step"])
        for name in ("outputs", "paths"):
            values[name] = {product_key(key): value for key, value in values.get(name, {}).items()}
        for name in ("warnings", "methods"):
            values[name] = tuple(values.get(name, ()))
        values["files"] = tuple(FileState(**{key: entry[key] for key in _STATE}) for entry in values.get("files", ()))
        return cls(**values)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_path(value: object) -> bool:
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def _is_count(value: object) -> bool:
    return _is_time(value) and value >= 0


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MAX_NUMBER


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and _is_plain(value)


def _is_plain(value: object) -> bool:
    """Return whether numbers within a JSON value are such as computers count with."""
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return not isinstance(value, int) or abs(value) < _MAX_NUMBER


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_path_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(_is_path(item) for item in value.values())


def _is_objects_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, dict) and _is_plain(item) for item in value.values())


def _is_hashes(value: object) -> bool:
    return isinstance(value, dict) and all(_is_text_by_name(item) for item in value.values())


def _is_states(value: object) -> bool:
    return isinstance(value, list) and all(_is_state(item) for item in value)


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and all(name in value and check(value[name]) for name, check in _STATE.items())


def _is_time(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER


_STATE: Mapping[str, Callable[[object], bool]] = {
    "path": _is_path,
    "hash": _is_text,
    "size": _is_count,
    "mtime_ns": _is_time,
}
_CHECKS = {
    **dict.fromkeys(
        ("step", "basename", "title", "status", "fingerprint", "code_version", "code", "started", "results"), _is_text
    ),
    "parameters": _is_objects_by_name,
    "outputs": _is_hashes,
    "inputs": _is_text_by_name,
    "paths": _is_path_by_name,
    "files": _is_states,
    "metrics": _is_object,
    "warnings": _is_texts,
    "methods": _is_texts,
    "duration_s": _is_seconds,
    "peak_memory_bytes": _is_count,
    "threads": _is_count,
}
