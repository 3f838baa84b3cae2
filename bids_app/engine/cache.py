"""Fingerprints and records: how the engine knows that a step is done.

A record lists, for every file that a step read and wrote, its hash, size and modification time. A file whose size and
modification time are those of the record counts as unchanged, any other is hashed again; the fingerprint is made of
hashes alone, so that copying a dataset or touching its files never reruns anything.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from bids_app import __version__
from bids_app.derivatives.digests import digest_of_file
from bids_app.derivatives.files import Written, read_grid
from bids_app.derivatives.names import lookup_path, product_path, sidecar_path
from bids_app.derivatives.products import PRODUCTS
from bids_app.derivatives.records import load_own_record, record_path
from bids_app.engine.code import digest_of
from bids_app.errors import QsmAppError
from bids_app.model.context import Context
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import HEADER, LOOKUP, SIDECAR, Step
from bids_app.model.step_record import FileState, StepRecord

R = TypeVar("R", bound=Record)

#: Packages whose source makes results; their digest is kept with each record, for the methods text.
_RESULT_PACKAGES = ("qsm", "adapters", "group", "steps", "derivatives")


@cache
def code_version() -> str:
    """Return the package's version and a digest of the source that makes results."""
    root = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(p for package in _RESULT_PACKAGES for p in (root / package).rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def path_of(key: str, record: Record, context: Context) -> Path:
    """Return where a product of a record is kept."""
    product = PRODUCTS[key]
    work_dir = context.shared_dir if product.shared and context.shared_dir is not None else context.work_dir
    return product_path(product, dict(record.entities), context.output_dir, work_dir)


def files_of(key: str, path: Path) -> list[Path]:
    """Return the product's own file and those that go with it."""
    product = PRODUCTS[key]
    files = [path] if product.in_work_dir or product.kind == "json" else [path, sidecar_path(path)]
    return [*files, lookup_path(path)] if product.is_segmentation else files


def accompanying_files(products: Mapping[str, tuple[str, Path]], sidecars: Sequence[str]) -> dict[str, Path]:
    """Return the files that a step reads with its products, by name: look-up tables, and the sidecars it asks for.

    ``products`` are keys and paths by the names that the step gives them.
    """
    tables = {
        LOOKUP + name: lookup_path(path) for name, (key, path) in products.items() if PRODUCTS[key].is_segmentation
    }
    return tables | {SIDECAR + name: sidecar_path(products[name][1]) for name in sidecars if name in products}


def is_there(path: Path) -> bool:
    """Return whether there is a file, asking a shared disk again where it seems not.

    A node of a cluster remembers for a while that a name was not there; listing its folder asks the server.
    """
    if path.is_file():
        return True
    try:
        return path.name in os.listdir(path.parent) and path.is_file()  # noqa: PTH208 - names alone, no objects
    except OSError:
        return False


@dataclass
class Hashes:
    """Hashes of files, computed once, and taken from records while size and modification time are unchanged."""

    root: Path  # paths in records are relative to it: the output directory
    _known: dict[Path, tuple[str, int, int]] = field(default_factory=dict)
    _headers: dict[Path, tuple[str, str]] = field(default_factory=dict)  # hash of the file, hash of its header

    def learn(self, record: StepRecord) -> None:
        """Take over what a step's record knows."""
        for state in record.files:
            path = Path(os.path.normpath(self.root / state.path))
            self._known.setdefault(path, (state.hash, state.size, state.mtime_ns))

    def keep(self, path: Path, written: Written) -> FileState:
        """Take over how a file was written, and return what a record keeps of it."""
        self._known[path] = (written.digest, written.size, written.mtime_ns)
        return FileState(os.path.relpath(path, self.root), written.digest, written.size, written.mtime_ns)

    def of(self, path: Path) -> str | None:
        """Return the hash of a file's bytes, None where there is no file."""
        try:
            state = path.stat() if is_there(path) else None
        except OSError:  # gone meanwhile
            state = None
        if state is None:
            return None
        known = self._known.get(path)
        if known is None or known[1:] != (state.st_size, state.st_mtime_ns):
            known = self._known[path] = (digest_of_file(path), state.st_size, state.st_mtime_ns)
        return known[0]

    def of_input(self, name: str, path: Path) -> str | None:
        """Return the hash of what a step reads of an input: all bytes, or shape and affine where it is a header."""
        digest = self.of(path)
        if digest is None or not name.startswith(HEADER):
            return digest
        if self._headers.get(path, ("", ""))[0] != digest:
            self._headers[path] = digest, _digest_of_header(path) or digest
        return self._headers[path][1]

    def state(self, path: Path) -> FileState:
        """Return what a record keeps of a file."""
        digest = self.of(path)
        if digest is None:
            raise QsmAppError(f"{path} is not there, and the step reads it; run what makes it again")
        _, size, changed = self._known[path]
        return FileState(os.path.relpath(path, self.root), digest, size, changed)


def _digest_of_header(path: Path) -> str:
    """Return the digest of an image's shape and affine; empty where it cannot be read, which its reader reports."""
    try:
        shape, affine = read_grid(path)
    except Exception:  # whatever a library raises for a damaged header
        return ""
    return hashlib.blake2b(repr((shape, affine.tolist())).encode(), digest_size=16).hexdigest()


def fingerprint(step: Step[R], record: R, settings: Settings, hashes: Mapping[str, str | None]) -> str:
    """Return the digest of everything that a step's results depend on; ``hashes`` are those of its inputs by name."""
    parameters = parameters_of(step, settings)
    content = {
        "code": code_digest(step, record, settings),
        "parameters": parameters,
        "inputs": dict(hashes),
        "record": record.facts(),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def code_digest(step: Step[R], record: R, settings: Settings) -> str:
    """Return the digest of the code that a step can reach, for what it makes of a record with these settings."""
    return digest_of(step.function, type(record), step.makes(record, settings), parameters_of(step, settings))


def parameters_of(step: Step[R], settings: Settings) -> dict[str, Mapping[str, object]]:
    """Return the plain values of the sections that a step reads."""
    return {name: getattr(settings, name).to_mapping() for name in step.reads}


def relative_paths(outputs: Mapping[str, Path], context: Context) -> dict[str, str]:
    """Return where products lie, as a record names it."""
    return {key: os.path.relpath(path, context.output_dir) for key, path in outputs.items()}


def is_consistent(saved: StepRecord, parameters: Mapping[str, object], paths: Mapping[str, str]) -> bool:
    """Return whether a record whose fingerprint is right says what belongs to it; else it was changed.

    Working files may lie in another folder than now.
    """
    same_parameters = saved.parameters == json.loads(json.dumps(parameters, default=str))
    recorded = {key for key, path in paths.items() if saved.paths.get(key) == path or PRODUCTS[key].in_work_dir}
    return same_parameters and recorded == set(paths) == set(saved.paths)


def is_intact(saved: StepRecord, outputs: Mapping[str, Path], hashes: Hashes) -> bool:
    """Return whether all outputs are as the record says; one in the work directory may be gone (not changed)."""
    if set(saved.outputs) != set(outputs):
        return False
    for key, path in outputs.items():
        files, states = files_of(key, path), saved.outputs[key]
        if set(states) != {file.name for file in files}:
            return False
        for file in files:
            now = hashes.of(file)
            if now != states[file.name] and not (now is None and PRODUCTS[key].in_work_dir):
                return False
    return True


def difference(saved: StepRecord, outputs: Mapping[str, Path], hashes: Hashes) -> Path | None:
    """Return a file that does not hold what was written to it, None where all do.

    Every byte is read again, but of working files: those count as unchanged while their size and time are.
    """
    for key, path in outputs.items():
        for file in files_of(key, path):
            is_working, expected = PRODUCTS[key].in_work_dir, saved.outputs[key][file.name]
            try:
                now = hashes.of(file) if is_working else digest_of_file(file)
            except OSError:
                return file
            if now != expected and not (is_working and now is None):
                return file
    return None


def recorded_hash(key: str, record: R, steps: Sequence[Step[R]], context: Context) -> str | None:
    """Return the hash of a record's product as the step that makes it has recorded it, None where no record has it."""
    path = path_of(key, record, context)
    for step in steps:
        saved = load_own_record(record_path(step.name, record, context.output_dir))
        if saved is not None and key in saved.outputs:
            return saved.outputs[key].get(path.name)
    return None
