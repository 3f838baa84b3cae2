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
from typing import Any

from bids_app import __version__
from bids_app.derivatives.names import PRODUCTS, lookup_path, product_path, record_folder, sidecar_path
from bids_app.model.step import Step

#: Rooms whose source makes results; a change in any of them makes steps run again.
_RESULT_ROOMS = ("qsm", "adapters", "group", "steps", "derivatives")


@dataclass(frozen=True)
class Context:
    """Where a run happens."""

    bids_dir: Path
    output_dir: Path
    work_dir: Path
    threads: int
    force: bool = False
    #: Where working files lie that other processes read, if the work directory is this process's own.
    shared_dir: Path | None = None


@cache
def code_version() -> str:
    """Return the package's version and a digest of the source that makes results."""
    root = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(p for room in _RESULT_ROOMS for p in (root / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def path_of(key: str, record: Any, context: Context) -> Path:
    """Return where a product of a record is kept."""
    product = PRODUCTS[key]
    work_dir = context.shared_dir if product.shared and context.shared_dir is not None else context.work_dir
    return product_path(product, dict(record.entities), context.output_dir, work_dir)


def files_of(key: str, path: Path) -> list[Path]:
    """Return the product's own file and those that go with it."""
    product = PRODUCTS[key]
    files = [path] if product.in_work_dir or product.kind == "json" else [path, sidecar_path(path)]
    return [*files, lookup_path(path)] if product.is_segmentation else files


def record_path(step: Step, record: Any, context: Context) -> Path:
    """Return where a step's record is kept."""
    folder = record_folder(dict(record.entities), context.output_dir / "logs" / "records")
    return folder / f"{record.basename}_step-{step.name}.json"


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


def load_record(path: Path) -> dict[str, Any]:
    """Return a step's record; empty where there is none or it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass
class Hashes:
    """Hashes of files, computed once, and taken from records while size and modification time are unchanged."""

    root: Path  # paths in records are relative to it: the output directory
    _known: dict[Path, tuple[str, int, int]] = field(default_factory=dict)

    def learn(self, record: Mapping[str, Any]) -> None:
        """Take over what a step's record knows."""
        for entry in record.get("files", []):
            path = Path(os.path.normpath(self.root / entry["path"]))
            self._known.setdefault(path, (entry["hash"], entry["size"], entry["mtime_ns"]))

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
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            known = self._known[path] = (digest, state.st_size, state.st_mtime_ns)
        return known[0]

    def entry(self, path: Path) -> dict[str, Any]:
        """Return what a record keeps of a file."""
        digest = self.of(path)
        if digest is None:
            raise FileNotFoundError(path)
        _, size, changed = self._known[path]
        return {"path": os.path.relpath(path, self.root), "hash": digest, "size": size, "mtime_ns": changed}


def fingerprint(step: Step, record: Any, settings: Any, hashes: Mapping[str, str | None]) -> str:
    """Return the digest of everything that a step's results depend on; ``hashes`` are those of its inputs by name."""
    content = {
        "code": code_version(),
        "parameters": parameters_of(step, settings),
        "inputs": dict(hashes),
        "record": record.facts(),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def parameters_of(step: Step, settings: Any) -> dict[str, Any]:
    """Return the plain values of the sections that a step reads."""
    return {name: getattr(settings, name).to_mapping() for name in step.reads}


def is_intact(saved: Mapping[str, Any], outputs: Mapping[str, Path], hashes: Hashes) -> bool:
    """Return whether all outputs are as the record says; one in the work directory may be gone (not changed)."""
    states = saved.get("outputs", {})
    if set(states) != set(outputs):
        return False
    for key, path in outputs.items():
        files = files_of(key, path)
        if set(states[key]) != {file.name for file in files}:
            return False
        for file in files:
            now = hashes.of(file)
            if now != states[key][file.name] and not (now is None and PRODUCTS[key].in_work_dir):
                return False
    return True


def recorded_hash(key: str, record: Any, steps: Sequence[Step], context: Context) -> str | None:
    """Return the hash of a record's product as the step that makes it has recorded it, None where no record has it."""
    path = path_of(key, record, context)
    for step in steps:
        states = load_record(record_path(step, record, context)).get("outputs", {})
        if key in states:
            digest: str | None = states[key].get(path.name)
            return digest
    return None
