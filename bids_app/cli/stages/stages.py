"""What each subcommand of ``qsm`` does: read files, one call of the library, write files."""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bids_app import qsm
from bids_app.cli.stages.images import echo_times, field_strength, in_ppm, load, load_echoes, load_mask, save, stem_of
from bids_app.cli.stages.inputs import (
    b0_dir,
    magnitude_of,
    method_of,
    parameters_of,
    phase_of,
    preset_of,
    related,
    volume_of,
)
from bids_app.cli.stages.separation import separate
from bids_app.errors import InputRefusedError, ParameterError, UsageError
from bids_app.qsm.inversion.combine import reference
from bids_app.qsm.pipeline.devices import device_label, device_notes
from bids_app.qsm.pipeline.field import combine_magnitudes
from bids_app.qsm.process import prepare_process
from bids_app.qsm.registry import AnyMethod
from bids_app.qsm.unwrap.romeo import romeo_quality


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


def _unwrap(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = method_of(qsm.UNWRAP, args.method or "romeo")
    phase, note = phase_of(args.phase)
    times = echo_times(args.te, phase)
    grid = phase.grid(b0_dir(args))
    mask = np.ones(grid.shape, bool) if args.mask is None else load_mask(args.mask, phase)
    params = parameters_of(method, further)
    magnitude = magnitude_of(args.magnitude, phase)
    unwrapped = method(phase.data, mask, grid, magnitude=magnitude, echo_times=times, params=params)
    facts: dict[str, object] = {
        "Units": "rad",
        "EchoTimes": list(times),
        "Method": method.label,
        "Parameters": params.to_mapping(),
        "PhaseScaling": note,
    }
    yield f"{save(args.output, unwrapped, phase, **facts)}: unwrapped phase in rad, by {method.label}"


def _field(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    options = preset_of(args.preset)
    phase, note = phase_of(args.phase)
    times, grid = echo_times(args.te, phase), phase.grid(b0_dir(args))
    field = qsm.total_field(
        phase.data,
        magnitude_of(args.magnitude, phase),
        times,
        grid,
        acquisition=qsm.Acquisition.from_sidecars([phase.sidecar], phase_scaling=note),
        options=options.field,
        parameters=options.parameters,
    )
    yield from (f"warning: {text}" for text in field.warnings)
    facts: dict[str, object] = {
        "Units": "Hz",
        "EchoTimes": list(times),
        "PhaseScaling": note,
        "Methods": list(field.methods),
    }
    if args.b0 is not None or "MagneticFieldStrength" in phase.sidecar:
        facts["MagneticFieldStrength"] = field_strength(args.b0, phase)
    yield f"{save(args.output, field.total, phase, **facts)}: total field in Hz"
    for name, data, unit in (
        ("sd", field.sd, "Hz"),
        ("residual", field.residual, "rad"),
        ("quality", field.quality, "1"),
        ("magnitude", field.magnitude, "arbitrary"),
    ):
        yield f"{save(related(args.output, name), data, phase, Units=unit)}: {_FIELD_FILES[name]}"


_FIELD_FILES = {
    "sd": "standard error of the field in Hz",
    "residual": "residual of the fit in rad",
    "quality": "quality of the phase, 0 to 1",
    "magnitude": "magnitude combined over the echoes",
}


def _mask(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    recipe = args.recipe or qsm.MaskChoices().filled
    if not args.magnitude and not args.phase:
        raise UsageError("qsm mask: give --magnitude, --phase, or both")
    quality = combined = None
    like = None
    if args.phase:
        like, _note = phase_of(args.phase)
        times = echo_times(args.te, like)
        quality = romeo_quality(like.data, None, magnitude=magnitude_of(args.magnitude, like), echo_times=times)
    if args.magnitude:
        image = load_echoes(args.magnitude)
        like = like or image
        combined = combine_magnitudes(image.data)
    assert like is not None
    grid = like.grid(b0_dir(args))
    try:
        mask = qsm.make_mask(recipe, quality=quality, magnitude=combined, voxel_size=grid.voxel_size)
    except ParameterError as error:
        raise UsageError(f"--recipe: {error}") from error
    share = np.count_nonzero(mask) * grid.voxel_volume / 1000
    yield f"{save(args.output, mask, like, Recipe=recipe)}: mask of {share:.0f} ml"


def _background(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = method_of(qsm.BACKGROUND, args.method or qsm.BackgroundChoices().method)
    image = load(args.image)
    field, grid = in_ppm(image, args.units, args.b0), image.grid(b0_dir(args))
    mask, params = load_mask(args.mask, image), parameters_of(method, further)
    weights = volume_of(args.weights, image)
    with qsm.use_device(args.device) as device:
        local, valid = method(field, mask, grid, params=params, weights=weights)
    yield from (f"warning: {text}" for text in device_notes(method, device))
    facts = {"Units": "ppm", "Method": method.label, "Parameters": params.to_mapping(), **_device(method, device)}
    yield f"{save(args.output, local, image, **facts)}: local field in ppm, by {method.label}"
    yield f"{save(related(args.output, 'mask'), valid, image)}: mask where it is valid"


def _invert(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = method_of(qsm.INVERSIONS, args.method or qsm.DEFAULT_INVERSION)
    image = load(args.image)
    field, grid = in_ppm(image, args.units, args.b0), image.grid(b0_dir(args))
    mask, params = load_mask(args.mask, image), parameters_of(method, further)
    magnitude = volume_of(args.magnitude, image)
    chosen: dict[str, object] = {}
    weights = volume_of(args.weights, image)
    with qsm.use_device(args.device) as device:
        chi = method(field, mask, grid, params=params, weights=weights, magnitude=magnitude, info=chosen)
    yield from (f"warning: {text}" for text in device_notes(method, device))
    facts = {"Units": "ppm", "Method": method.label, "Parameters": params.to_mapping(), **_device(method, device)}
    facts["B0_dir"] = list(grid.b0_dir)
    yield f"{save(args.output, chi, image, **facts)}: susceptibility in ppm, by {method.label}"


def _device(method: AnyMethod, device: qsm.Device) -> dict[str, object]:
    """Return the field of the sidecar for what ran elsewhere than on the processor."""
    label = device_label(method, device)
    return {"Device": label} if label else {}


def _reference(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    image = load(args.image)
    mask = load_mask(args.mask, image)
    region = None if args.region is None else load_mask(args.region, image)
    chi, zero = reference(image.data, mask, region)
    name = "mask" if args.region is None else args.region.name
    facts = {"Units": "ppm", "ReferenceRegion": name, "ReferenceMask": args.mask.name}
    facts |= {"ReferenceOffset": zero, "ReferenceOffsetUnits": "ppm"}
    yield f"{save(args.output, chi, image, **facts)}: susceptibility in ppm; {zero:+.5f} ppm was subtracted"


def _r2star(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = method_of(qsm.RELAXOMETRY, args.method or qsm.RelaxometryChoices().method)
    image = load_echoes(args.magnitude)
    times, mask = echo_times(args.te, image), load_mask(args.mask, image)
    params = parameters_of(method, further)
    fit = qsm.r2star(
        image.data, times, mask, options=qsm.RelaxometryChoices(method=method.name), parameters={method.name: params}
    )
    facts = {"EchoTimes": list(times), "Method": method.label}
    yield f"{save(args.output, fit.r2star, image, Units='1/s', **facts)}: R2* in 1/s, by {method.label}"
    yield f"{save(related(args.output, 't2star'), fit.t2star, image, Units='s', **facts)}: T2* in s"
    yield f"{save(related(args.output, 's0'), fit.s0, image, Units='arbitrary', **facts)}: signal at echo time zero"


def _swi(args: argparse.Namespace, further: Sequence[str]) -> Iterator[str]:
    method = method_of(qsm.SWI, args.method or qsm.SwiChoices().method)
    image = load(args.image)
    grid, mask = image.grid(b0_dir(args)), load_mask(args.mask, image)
    units = (args.units or str(image.sidecar.get("Units", ""))).lower()
    if units == "ppm":
        raise UsageError("qsm swi takes the total field in Hz: convert it, or give the field map of qsm field")
    if units != "hz":
        raise UsageError(f"--units: say that {image.path.name} is in hz (its sidecar does not)")
    magnitude, params = volume_of(args.magnitude, image), parameters_of(method, further)
    assert magnitude is not None  # the parser asks for it
    if "chi" in method.needs and args.chi is None:
        raise UsageError(f"--chi: {method.label} needs the susceptibility map")
    time = args.te[-1] if args.te else None
    if method.name == "phase_mask" and time is None and not params.to_mapping()["echo_time"]:
        raise UsageError(f"--te: {method.label} needs the echo time of the magnitude in seconds")
    chi = volume_of(args.chi, image)
    weighted = method(image.data, magnitude, mask, grid, params=params, echo_time=time, chi_ppm=chi)
    facts = {"Units": "arbitrary", "Method": method.label, "Parameters": params.to_mapping()}
    yield f"{save(args.output, weighted.swi, image, **facts)}: susceptibility-weighted image, by {method.label}"
    projection = save(related(args.output, "minip"), weighted.minip, image, **facts)
    yield f"{projection}: its minimum-intensity projection"


def _reconstruct(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    options = preset_of(args.preset)
    phase, note = phase_of(args.phase)
    times, grid = echo_times(args.te, phase), phase.grid(b0_dir(args))
    strength = field_strength(args.b0, phase)
    with qsm.use_device(args.device):
        result = qsm.reconstruct(
            phase.data,
            magnitude_of(args.magnitude, phase),
            times,
            grid,
            strength,
            options,
            mask=None if args.mask is None else load_mask(args.mask, phase),
            acquisition=qsm.Acquisition.from_sidecars([phase.sidecar], phase_scaling=note),
        )
    yield from (f"warning: {text}" for text in result.warnings)
    facts = {
        "Units": "ppm",
        "Preset": args.preset,
        "EchoTimes": list(times),
        "MagneticFieldStrength": strength,
        "B0_dir": list(grid.b0_dir),
        "PhaseScaling": note,
        "ReferenceRegion": options.reference.region,
        "ReferenceOffset": result.reference,
        "ReferenceOffsetUnits": "ppm",
        "Methods": list(result.methods),
    }
    facts |= {"Device": result.inverted.info["device"]} if "device" in result.inverted.info else {}
    yield f"{save(args.output, result.chi, phase, **facts)}: susceptibility in ppm (preset {args.preset})"
    yield f"{save(related(args.output, 'mask'), result.mask, phase)}: mask where it is valid"
    if not args.no_report:
        from bids_app.report.loose import write_page

        page = args.output.with_name(f"{stem_of(args.output)}.html")
        write_page(page, args.output.name, result, phase.affine, facts)
        yield f"{page}: report"


def _score(args: argparse.Namespace, _: Sequence[str]) -> Iterator[str]:
    from bids_app.phantom import metrics

    estimate, true = load(args.map), load(args.reference)
    if estimate.data.shape != true.data.shape:
        raise InputRefusedError([f"{args.map} has shape {estimate.data.shape}, {args.reference} {true.data.shape}"])
    mask = load_mask(args.mask, true)
    for name, value, unit in (
        ("NRMSE", metrics.nrmse(estimate.data, true.data, mask), " %"),
        ("detrended NRMSE", metrics.detrended_nrmse(estimate.data, true.data, mask), " %"),
        ("XSIM (7 voxels)", metrics.xsim(estimate.data, true.data, mask), ""),
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
    "separate": separate,
    "reconstruct": _reconstruct,
    "score": _score,
}
