"""The participant level: reading PARTICIPANT is reading the pipeline."""

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.qsm.geometry import Grid, hz_to_ppm, ppm_to_hz
from bids_app.steps.step import Output, Step, StepInput, StepResult


def _echo_files(run: GreRun, settings: Any = None) -> dict[str, Path]:
    parts = ("magnitude", "phase", "real", "imag")
    found = {(f"{part}{echo.number}"): getattr(echo, part) for echo in run.echoes for part in parts}
    return {name: path for name, path in found.items() if path is not None}


def _like(run: GreRun) -> Path:
    return next(iter(_echo_files(run).values()))


def _grid(run: GreRun, shape: tuple[int, ...]) -> Grid:
    _, affine = read_image(_like(run))
    return Grid.from_affine(shape, affine, run.b0_dir or (0, 0, 1))


def _load(run: GreRun) -> tuple[Any, Any, list[str]]:
    """Return magnitude and phase of all echoes, echoes first, and notes on what was done to the phase."""
    from bids_app.qsm.phase import to_radians

    if run.echoes[0].phase is None:
        signal = [read_image(e.real)[0] + 1j * read_image(e.imag)[0] for e in run.echoes if e.real and e.imag]
        data = np.nan_to_num(np.stack(signal))
        return (
            np.abs(data).astype(np.float32),
            np.angle(data).astype(np.float32),
            ["phase is that of real and imaginary"],
        )
    stored = np.stack([read_image(e.phase)[0] for e in run.echoes if e.phase])
    scaled = to_radians(stored, units=run.echoes[0].metadata.get("Units"))
    if all(e.magnitude for e in run.echoes):
        magnitude = np.nan_to_num(np.stack([read_image(e.magnitude)[0] for e in run.echoes if e.magnitude]))
    else:
        magnitude = np.ones_like(scaled.phase)
    return magnitude, scaled.phase, [scaled.note]


def total_field(step: StepInput) -> StepResult:
    """Phase of all echoes to the total field, its standard error and the phase's quality."""
    from bids_app import qsm
    from bids_app.qsm.fieldfit import fit_linear
    from bids_app.qsm.offsets import mcpc3ds
    from bids_app.qsm.unwrap_romeo import romeo_quality

    run, section = step.record, step.settings.field
    magnitude, phase, notes = _load(run)
    grid, times = _grid(run, phase.shape[1:]), run.echo_times
    methods = [section.choice.unwrap, f"fit_{section.choice.fit}"]
    if len(times) > 1 and section.choice.offsets == "mcpc3ds":
        phase = mcpc3ds(phase, magnitude, times, None, grid, params=section.of("mcpc3ds")).phase
        methods.insert(0, "mcpc3ds")
    romeo_params = section.of("romeo")
    unwrapped = qsm.UNWRAP[section.choice.unwrap](
        phase, None, grid, magnitude=magnitude, echo_times=times, params=section.of(section.choice.unwrap)
    )
    quality = romeo_quality(phase, None, grid, magnitude=magnitude, echo_times=times, params=romeo_params)
    fit = fit_linear(unwrapped, magnitude, times, np.ones(grid.shape, bool), params=section.of("linear"))
    like = _like(run)
    combined = np.sqrt(np.square(magnitude).sum(axis=0))
    facts = {"EchoTimes": list(times), "MagneticFieldStrength": run.field_strength, "PhaseScaling": notes}
    outputs = {
        "total_field": Output(fit.field_hz, like, facts),
        "total_field_magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "quality": Output(quality, like),
    }
    metrics = {"median_residual_rad": float(np.median(fit.residual_rad)), "phase": notes}
    return StepResult(outputs, metrics, (), tuple(methods))


def masks(step: StepInput) -> StepResult:
    """Make the filled mask, and with two passes the mask of reliable voxels, from quality or magnitude."""
    from bids_app.qsm.masking import make_mask

    choice = step.settings.mask.choice
    quality, magnitude = read_image(step.inputs["quality"])[0], read_image(step.inputs["magnitude"])[0]
    like = step.inputs["magnitude"]
    recipes = {"mask_brain": choice.filled} | ({"mask_reliable": choice.reliable} if choice.two_pass else {})
    outputs = {}
    for key, recipe in recipes.items():
        mask = make_mask(recipe, quality=quality, magnitude=magnitude)
        if not mask.any():
            raise ValueError(f"the mask recipe {recipe!r} leaves no voxel: choose another one by --mask")
        outputs[key] = Output(mask, like, {"Recipe": recipe})
    return StepResult(outputs, {"mask_voxels": int(np.count_nonzero(np.asarray(outputs["mask_brain"].data)))})


def _passes(step: StepInput) -> list[Any]:
    keys = [key for key in ("mask_brain", "mask_reliable") if key in step.inputs]
    return [read_image(step.inputs[key])[0] > 0 for key in keys]


def local_field_and_chi(step: StepInput) -> StepResult:
    """Remove the background field and invert, in one pass or two, and set the zero of the scale."""
    from bids_app import qsm
    from bids_app.qsm.combine import reference, two_pass

    run, settings = step.record, step.settings
    background, inversion = settings.background, settings.inversion
    field_hz, _ = read_image(step.inputs["total_field"])
    grid = _grid(run, field_hz.shape)
    total = hz_to_ppm(field_hz, run.field_strength)
    passes = []
    for mask in _passes(step):
        name = background.choice.method
        local, valid = qsm.BACKGROUND[name](total, mask, grid, params=background.of(name))
        name = inversion.choice.method
        passes.append((local, valid, qsm.INVERSIONS[name](local, valid, grid, params=inversion.of(name))))
    local, valid, chi = passes[0]
    single, facts, like = chi, {"MagneticFieldStrength": run.field_strength}, step.inputs["total_field"]
    if len(passes) > 1:
        chi = two_pass(passes[1][2], passes[1][1], chi, valid)
        valid = valid | passes[1][1]
    offset = single_offset = 0.0
    if settings.reference.choice.region == "mask":
        chi, offset = reference(chi, valid)
        single, single_offset = reference(single, passes[0][1])
    outputs = {
        "chimap": Output(chi, like, facts | {"ReferenceOffset": offset}),
        "local_field": Output(ppm_to_hz(local, run.field_strength), like, facts),
        "local_field_magnitude": Output(read_image(step.inputs["magnitude"])[0], like),
        "mask_qsm": Output(valid, like),
    }
    if len(passes) > 1:
        outputs["chimap_singlepass"] = Output(single, like, facts | {"ReferenceOffset": single_offset})
    return StepResult(
        outputs, {"qsm_voxels": int(valid.sum())}, (), (background.choice.method, inversion.choice.method)
    )


def relaxation(step: StepInput) -> StepResult:
    """R2*, T2* and S0 of multi-echo magnitude."""
    from bids_app.qsm import relaxometry

    section = step.settings.relaxometry
    magnitude = np.stack([read_image(e.magnitude)[0] for e in step.record.echoes])
    mask = read_image(step.inputs["mask_brain"])[0] > 0
    name = section.choice.method
    if name == "arlo" and not relaxometry.arlo_applies(step.record.echo_times):
        name = "loglinear"
    function = {"arlo": relaxometry.r2star_arlo, "loglinear": relaxometry.r2star_loglinear}[name]
    maps = function(magnitude, step.record.echo_times, mask, params=section.of(name))
    like, facts = step.inputs["mask_brain"], {"EchoTimes": list(step.record.echo_times), "Method": name}
    arrays = {"r2star": maps.r2star, "t2star": maps.t2star, "s0": maps.s0}
    return StepResult({key: Output(data, like, facts) for key, data in arrays.items()}, {}, (), (name,))


def _mask_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    return ("mask_brain", "mask_reliable") if settings.mask.choice.two_pass else ("mask_brain",)


def _chi_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("chimap", "local_field", "local_field_magnitude", "mask_qsm")
    return (*keys, "chimap_singlepass") if settings.mask.choice.two_pass else keys


def _relaxation_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    possible = len(run.echoes) > 1 and all(e.magnitude for e in run.echoes)
    return ("r2star", "t2star", "s0") if possible and settings.relaxometry.choice.method != "none" else ()


PARTICIPANT: tuple[Step, ...] = (
    Step(
        "field", "Total field", total_field, reads=("field",), sources=_echo_files,
        makes=lambda run, settings: ("total_field", "total_field_magnitude", "magnitude", "quality"),
    ),
    Step(
        "mask", "Masks", masks, reads=("mask",),
        needs=lambda run, settings: ("quality", "magnitude"), makes=_mask_keys,
    ),
    Step(
        "chi", "Local field and susceptibility", local_field_and_chi, reads=("background", "inversion", "reference"),
        needs=lambda run, settings: ("total_field", "magnitude", *_mask_keys(run, settings)), makes=_chi_keys,
    ),
    Step(
        "relaxometry", "R2*, T2* and S0", relaxation, reads=("relaxometry",), sources=_echo_files,
        needs=lambda run, settings: ("mask_brain",), makes=_relaxation_keys,
    ),
)  # fmt: skip
