"""Runs the steps of one record in order, and skips those whose record says that nothing has changed."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bids_app import __version__
from bids_app.derivatives.files import read_image, remove_parts, write_image, write_json
from bids_app.derivatives.names import PRODUCTS, product_path
from bids_app.steps.step import Step, StepInput, StepResult


@dataclass(frozen=True)
class Context:
    """Where a run happens."""

    bids_dir: Path
    output_dir: Path
    work_dir: Path
    threads: int
    force: bool = False


@dataclass
class ChainResult:
    """What became of each step, and what the user should know."""

    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class _Slice:
    """The sections of the settings that a step declared; any other is a mistake in the step."""

    def __init__(self, settings: Any, names: Sequence[str], step: str):
        self._sections = {name: getattr(settings, name) for name in names}
        self._step = step

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_sections"][name]
        except KeyError:
            raise AttributeError(f"step {self.__dict__['_step']!r} does not declare that it reads {name!r}") from None


def file_hash(path: Path) -> str:
    """Return the BLAKE2b hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@cache
def code_version() -> str:
    """Return the package's version and a digest of the source that makes results."""
    root = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(p for room in ("qsm", "steps", "derivatives") for p in (root / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def _path(key: str, record: Any, context: Context) -> Path:
    return product_path(PRODUCTS[key], dict(record.entities), context.output_dir, context.work_dir)


def record_path(step: Step, record: Any, context: Context) -> Path:
    """Return where a step's record is kept."""
    folder = context.output_dir / "logs" / "records" / f"sub-{dict(record.entities)['sub']}"
    if "ses" in dict(record.entities):
        folder = folder / f"ses-{dict(record.entities)['ses']}"
    return folder / f"{record.basename}_step-{step.name}.json"


def _inputs(step: Step, record: Any, settings: Any, context: Context) -> dict[str, Path]:
    needed = {key: _path(key, record, context) for key in step.needs(record, settings)}
    return dict(step.sources(record, settings)) | needed


def _fingerprint(inputs: Mapping[str, Path], parameters: Mapping[str, Any], facts: str) -> str:
    content = {
        "code": code_version(),
        "parameters": parameters,
        "inputs": {name: file_hash(path) for name, path in inputs.items()},
        "record": facts,
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _is_done(saved: Mapping[str, Any], fingerprint: str, outputs: Mapping[str, Path]) -> bool:
    if saved.get("fingerprint") != fingerprint or set(saved.get("outputs", {})) != set(outputs):
        return False
    return all(path.is_file() and file_hash(path) == saved["outputs"][key]["hash"] for key, path in outputs.items())


def _load(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def run_chain(
    steps: Sequence[Step],
    record: Any,
    settings: Any,
    context: Context,
    on_event: Callable[[str, str], None] = lambda event, text: None,
) -> ChainResult:
    """Run what must be run; events are ``("skipped" | "started" | "finished", step name)``."""
    result = ChainResult()
    for step in steps:
        keys = step.makes(record, settings)
        if not keys:
            continue
        outputs = {key: _path(key, record, context) for key in keys}
        inputs = _inputs(step, record, settings, context)
        parameters = {name: getattr(settings, name).to_mapping() for name in step.reads}
        fingerprint = _fingerprint(inputs, parameters, repr(record.entities) + repr(getattr(record, "echo_times", "")))
        saved_at = record_path(step, record, context)
        saved = _load(saved_at)
        if not context.force and _is_done(saved, fingerprint, outputs):
            result.skipped.append(step.name)
            result.warnings += saved.get("warnings", [])
            on_event("skipped", step.name)
            continue
        on_event("started", step.name)
        _run_step(step, record, settings, context, inputs, outputs, saved_at, fingerprint, parameters, saved, result)
        on_event("finished", step.name)
    return result


def _run_step(  # noqa: PLR0913
    step: Step,
    record: Any,
    settings: Any,
    context: Context,
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    saved_at: Path,
    fingerprint: str,
    parameters: Mapping[str, Any],
    saved: Mapping[str, Any],
    result: ChainResult,
) -> None:
    started, clock = datetime.now(UTC), time.perf_counter()
    for folder in {path.parent for path in outputs.values()} | {saved_at.parent}:
        remove_parts(folder, record.basename)
    context.work_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{record.basename}_{step.name}_", dir=context.work_dir))
    try:
        done = step.function(
            StepInput(record, _Slice(settings, step.reads, step.name), inputs, scratch, context.threads)
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if set(done.outputs) != set(outputs):
        raise RuntimeError(f"step {step.name!r} promised {sorted(outputs)} and made {sorted(done.outputs)}")
    for key, path in outputs.items():
        _write_product(key, path, done, context, parameters, inputs)
    for entry in saved.get("outputs", {}).values():  # products of other parameters that are made no longer
        stale = Path(os.path.normpath(context.output_dir / entry["path"]))
        if stale not in outputs.values():
            stale.unlink(missing_ok=True)
            stale.with_name(stale.name.removesuffix(".nii.gz") + ".json").unlink(missing_ok=True)
    write_json(
        saved_at,
        {
            "step": step.name,
            "title": step.title,
            "basename": record.basename,
            "status": "done",
            "fingerprint": fingerprint,
            "parameters": parameters,
            "code_version": code_version(),
            "outputs": {
                key: {"path": os.path.relpath(path, context.output_dir), "hash": file_hash(path)}
                for key, path in outputs.items()
            },
            "metrics": dict(done.metrics),
            "warnings": list(done.warnings),
            "methods": list(done.methods),
            "started": started.isoformat(),
            "duration_s": round(time.perf_counter() - clock, 3),
            "threads": context.threads,
        },
    )
    result.ran.append(step.name)
    result.warnings += done.warnings


def _write_product(
    key: str,
    path: Path,
    done: StepResult,
    context: Context,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Path],
) -> None:
    product, output = PRODUCTS[key], done.outputs[key]
    if output.data is None or output.like is None:
        raise RuntimeError(f"product {key!r} has no data")
    affine = read_affine(output.like)
    write_image(path, output.data, affine, product.dtype)
    if product.in_work_dir:
        return
    sources = [_uri(source, context) for source in inputs.values() if context.work_dir not in source.parents]
    sidecar: dict[str, Any] = {"Description": product.description, "Sources": sources}
    if product.unit:
        sidecar["Units"] = product.unit
    if product.suffix != "mask":
        sidecar["SkullStripped"] = product.skull_stripped
    else:
        sidecar["Type"] = "Brain"
    sidecar |= {"Parameters": parameters, **output.sidecar}
    write_json(path.with_name(path.name.removesuffix(product.extension) + ".json"), sidecar)


def _uri(path: Path, context: Context) -> str:
    for root, name in ((context.output_dir, ""), (context.bids_dir, "raw")):
        if root in path.parents:
            return f"bids:{name}:{path.relative_to(root).as_posix()}"
    return path.name


def read_affine(path: Path) -> Any:
    """Return the affine of an image file."""
    import nibabel

    image: Any = nibabel.load(path)
    return image.affine


__all__ = ["ChainResult", "Context", "read_image", "record_path", "run_chain"]
