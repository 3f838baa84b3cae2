"""What each subcommand of ``qsm`` does: read files, one call of the library, write files."""

import argparse
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from bids_app import qsm
from bids_app.cli.stages.images import (
    Image,
    echo_times,
    field_strength,
    in_ppm,
    load,
    load_echoes,
    load_mask,
    save,
    stem_of,
)
from bids_app.errors import InputRefusedError, ParameterError, UsageError
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.inversion.combine import reference
from bids_app.qsm.params import Params, nearest
from bids_app.qsm.phase.scaling import to_radians
from bids_app.qsm.process import prepare_process
from bids_app.qsm.registry import AnyMethod
from bids_app.qsm.swi.clearswi import clear_swi
from bids_app.qsm.unwrap.romeo import romeo_quality

M = TypeVar("M")


def run(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    """Run a stage; give a line about each file that it wrote (or each score)."""
    stage = args.stage
    if further and not getattr(args, "method", None):
        raise UsageError(f"qsm {stage}: unknown option {further[0]}\nsee qsm {stage} --help")
    prepare_process()
    threads = getattr(args, "omp_nthreads", None)
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--omp-nthreads must be 1 or more, got {threads}")
        qsm.set_threads(threads)
    return _STAGES[stage](args, further)


def _b0_dir(args: argparse.Namespace) -> tuple[float, ...] | None:
    if args.b0_dir == ["auto"]:
        return None
    try:
        return tuple(float(part) for part in args.b0_dir)
    except ValueError as error:
        raise UsageError(f"--b0-dir must be auto or three numbers, got {' '.join(args.b0_dir)}") from error


def _method(registry: Mapping[str, M], name: str) -> M:
    if name not in registry:
        raise UsageError(f"--method: no method {name!r}: {nearest(name, list(registry))}")
    return registry[name]


def _parameters(method: AnyMethod, words: Sequence[str]) -> Params:
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
        text = rest.pop(0)
        try:
            values[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[name] = text
    try:
        return method.params.from_mapping(method.params().to_mapping() | values)
    except ParameterError as error:
        raise UsageError(f"{method.label}: {error}") from error


def _phase(paths: Sequence[Path]) -> tuple[Image, str]:
    """Return the phase of the echoes in radians, and how it was scaled."""
    stored = load_echoes(paths)
    units, maker = stored.sidecar.get("Units"), str(stored.sidecar.get("Manufacturer", ""))
    scaled = to_radians(stored.data, units=None if units is None else str(units), manufacturer=maker)
    return Image(stored.path, scaled.phase, stored.affine, stored.sidecar), scaled.note


def _magnitude(paths: Sequence[Path] | None, phase: Image) -> FloatArray | None:
    if not paths:
        return None
    image = load_echoes(paths)
    if image.data.shape != phase.data.shape:
        raise InputRefusedError([f"{image.path} has shape {image.data.shape}, the phase {phase.data.shape}"])
    return image.data


def _unwrap(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = _method(qsm.UNWRAP, args.method or "romeo")
    phase, note = _phase(args.phase)
    times = echo_times(args.te, phase)
    grid = phase.grid(_b0_dir(args))
    mask = np.ones(grid.shape, bool) if args.mask is None else load_mask(args.mask, phase)
    params = _parameters(method, further)
    magnitude = _magnitude(args.magnitude, phase)
    unwrapped = method(phase.data, mask, grid, magnitude=magnitude, echo_times=times, params=params)
    facts: dict[str, object] = {
        "Units": "rad",
        "EchoTimes": list(times),
        "Method": method.label,
        "Parameters": params.to_mapping(),
    }
    facts["PhaseScaling"] = note
    yield f"{save(args.output, unwrapped, phase, **facts)}: unwrapped phase in rad, by {method.label}"


def _field(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    options = _preset(args.preset)
    phase, note = _phase(args.phase)
    times, grid = echo_times(args.te, phase), phase.grid(_b0_dir(args))
    magnitude, maker = _magnitude(args.magnitude, phase), str(phase.sidecar.get("Manufacturer", ""))
    found = qsm.total_field(
        phase.data, magnitude, times, grid, manufacturer=maker, options=options.field, parameters=options.parameters
    )
    yield from (f"warning: {text}" for text in found.warnings)
    facts: dict[str, object] = {"Units": "Hz", "EchoTimes": list(times), "PhaseScaling": note}
    facts["Methods"] = list(found.methods)
    if args.b0 is not None or "MagneticFieldStrength" in phase.sidecar:
        facts["MagneticFieldStrength"] = field_strength(args.b0, phase)
    yield f"{save(args.output, found.total, phase, **facts)}: total field in Hz"
    for name, data, unit in (
        ("sd", found.sd, "Hz"),
        ("residual", found.residual, "rad"),
        ("quality", found.quality, "1"),
        ("magnitude", found.magnitude, "arbitrary"),
    ):
        yield f"{save(_beside(args.output, name), data, phase, Units=unit)}: {_FIELD_FILES[name]}"


_FIELD_FILES = {
    "sd": "standard error of the field in Hz",
    "residual": "residual of the fit in rad",
    "quality": "quality of the phase, 0 to 1",
    "magnitude": "magnitude combined over the echoes",
}


def _beside(path: Path, word: str) -> Path:
    return path.with_name(f"{stem_of(path)}_{word}.nii.gz")


def _preset(name: str) -> qsm.Options:
    try:
        return qsm.preset(name)
    except ParameterError as error:
        raise UsageError(f"--preset: {error}") from error


def _mask(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    recipe = args.recipe or qsm.MaskChoices().filled
    if not args.magnitude and not args.phase:
        raise UsageError("qsm mask: give --magnitude, --phase, or both")
    quality = combined = None
    like = None
    if args.phase:
        like, _note = _phase(args.phase)
        times = echo_times(args.te, like)
        quality = romeo_quality(like.data, None, magnitude=_magnitude(args.magnitude, like), echo_times=times)
    if args.magnitude:
        image = load_echoes(args.magnitude)
        like = like or image
        combined = np.sqrt(np.sum(np.square(image.data), axis=0, dtype=np.float32)).astype(np.float32)
    assert like is not None
    grid = like.grid(_b0_dir(args))
    try:
        mask = qsm.make_mask(recipe, quality=quality, magnitude=combined, voxel_size=grid.voxel_size)
    except ParameterError as error:
        raise UsageError(f"--recipe: {error}") from error
    share = np.count_nonzero(mask) * grid.voxel_volume / 1000
    yield f"{save(args.output, mask, like, Recipe=recipe)}: mask of {share:.0f} ml"


def _weights(path: Path | None, like: Image) -> FloatArray | None:
    return None if path is None else load(path).data


def _background(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = _method(qsm.BACKGROUND, args.method or qsm.BackgroundChoices().method)
    image = load(args.image)
    field, grid = in_ppm(image, args.units, args.b0), image.grid(_b0_dir(args))
    mask, params = load_mask(args.mask, image), _parameters(method, further)
    local, valid = method(field, mask, grid, params=params, weights=_weights(args.weights, image))
    facts = {"Units": "ppm", "Method": method.label, "Parameters": params.to_mapping()}
    yield f"{save(args.output, local, image, **facts)}: local field in ppm, by {method.label}"
    yield f"{save(_beside(args.output, 'mask'), valid, image)}: mask where it is valid"


def _invert(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = _method(qsm.INVERSIONS, args.method or qsm.DEFAULT_INVERSION)
    image = load(args.image)
    field, grid = in_ppm(image, args.units, args.b0), image.grid(_b0_dir(args))
    mask, params = load_mask(args.mask, image), _parameters(method, further)
    magnitude = None if args.magnitude is None else load(args.magnitude).data
    chosen: dict[str, object] = {}
    chi = method(
        field, mask, grid, params=params, weights=_weights(args.weights, image), magnitude=magnitude, info=chosen
    )
    facts = {"Units": "ppm", "Method": method.label, "Parameters": params.to_mapping(), "B0_dir": list(grid.b0_dir)}
    yield f"{save(args.output, chi, image, **facts)}: susceptibility in ppm, by {method.label}"


def _reference(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    image = load(args.image)
    mask = load_mask(args.mask, image)
    region = None if args.region is None else load_mask(args.region, image)
    chi, zero = reference(image.data, mask, region)
    name = "mask" if args.region is None else args.region.name
    facts = {"Units": "ppm", "ReferenceRegion": name, "ReferenceOffset": zero}
    yield f"{save(args.output, chi, image, **facts)}: susceptibility in ppm; {zero:+.5f} ppm was subtracted"


def _r2star(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = _method(qsm.RELAXOMETRY, args.method or qsm.RelaxometryChoices().method)
    image = load_echoes(args.magnitude)
    times, mask = echo_times(args.te, image), load_mask(args.mask, image)
    params = _parameters(method, further)
    found = qsm.r2star(
        image.data, times, mask, options=qsm.RelaxometryChoices(method=method.name), parameters={method.name: params}
    )
    facts = {"EchoTimes": list(times), "Method": method.label}
    yield f"{save(args.output, found.r2star, image, Units='1/s', **facts)}: R2* in 1/s, by {method.label}"
    yield f"{save(_beside(args.output, 't2star'), found.t2star, image, Units='s', **facts)}: T2* in s"
    yield f"{save(_beside(args.output, 's0'), found.s0, image, Units='arbitrary', **facts)}: signal at echo time zero"


def _swi(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    image = load(args.image)
    grid, mask = image.grid(_b0_dir(args)), load_mask(args.mask, image)
    units = (args.units or str(image.sidecar.get("Units", ""))).lower()
    if units == "ppm":
        raise UsageError("qsm swi takes the total field in Hz: convert it, or give the field map of qsm field")
    if units != "hz":
        raise UsageError(f"--units: say that {image.path.name} is in hz (its sidecar does not)")
    found = clear_swi(image.data, load(args.magnitude).data, mask, grid)
    yield f"{save(args.output, found.swi, image, Units='arbitrary')}: susceptibility-weighted image"
    projection = save(_beside(args.output, "minip"), found.minip, image, Units="arbitrary")
    yield f"{projection}: its minimum-intensity projection"


def _reconstruct(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    options = _preset(args.preset)
    phase, note = _phase(args.phase)
    times, grid = echo_times(args.te, phase), phase.grid(_b0_dir(args))
    strength = field_strength(args.b0, phase)
    found = qsm.reconstruct(
        phase.data,
        _magnitude(args.magnitude, phase),
        times,
        grid,
        strength,
        options,
        mask=None if args.mask is None else load_mask(args.mask, phase),
        manufacturer=str(phase.sidecar.get("Manufacturer", "")),
    )
    yield from (f"warning: {text}" for text in found.warnings)
    facts = {
        "Units": "ppm",
        "Preset": args.preset,
        "EchoTimes": list(times),
        "MagneticFieldStrength": strength,
        "B0_dir": list(grid.b0_dir),
        "PhaseScaling": note,
        "ReferenceRegion": options.reference.region,
        "ReferenceOffset": found.reference,
        "Methods": list(found.methods),
    }
    yield f"{save(args.output, found.chi, phase, **facts)}: susceptibility in ppm (preset {args.preset})"
    yield f"{save(_beside(args.output, 'mask'), found.mask, phase)}: mask where it is valid"
    if not args.no_report:
        from bids_app.report.loose import write_page

        page = args.output.with_name(f"{stem_of(args.output)}.html")
        write_page(page, args.output.name, found, phase.affine, facts)
        yield f"{page}: report"


def _score(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    from bids_app.phantom import metrics

    found, true = load(args.map), load(args.reference)
    if found.data.shape != true.data.shape:
        raise InputRefusedError([f"{args.map} has shape {found.data.shape}, {args.reference} {true.data.shape}"])
    mask = load_mask(args.mask, true)
    for name, value, unit in (
        ("NRMSE", metrics.nrmse(found.data, true.data, mask), " %"),
        ("detrended NRMSE", metrics.detrended_nrmse(found.data, true.data, mask), " %"),
        ("XSIM (7 voxels)", metrics.xsim(found.data, true.data, mask), ""),
    ):
        shown = f"{value:.3f}" if math.isfinite(value) else "infinite"
        yield f"{name}: {shown}{unit}"


_STAGES: Mapping[str, Callable[[argparse.Namespace, Sequence[str]], Iterator[str]]] = {
    "unwrap": _unwrap,
    "field": _field,
    "mask": _mask,
    "background": _background,
    "invert": _invert,
    "reference": _reference,
    "r2star": _r2star,
    "swi": _swi,
    "reconstruct": _reconstruct,
    "score": _score,
}
