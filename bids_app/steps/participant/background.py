"""Total field to the local field of each pass: corrections, boundary sources, background removal."""

from typing import TYPE_CHECKING

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.options import BackgroundChoices
from bids_app.qsm.units import ppm_to_hz
from bids_app.steps.participant.common import (
    echo_phase,
    field_strength,
    grid_image,
    grid_of,
    memory,
    padding_of,
    read_array,
    starts_after_background,
    total_field_ppm,
)
from bids_app.steps.participant.mask import pass_masks

if TYPE_CHECKING:
    from bids_app.qsm import LocalField

#: Masks that the field is processed in, the first one that is there and the second pass's.
PASS_MASKS = (("mask_processing", "mask_brain"), ("mask_reliable",))


def read_pass_masks(step: StepInput[GreRun]) -> list[BoolArray]:
    """Return the masks of the passes."""
    keys = (next((key for key in choice if key in step.inputs), None) for choice in PASS_MASKS)
    return [read_mask(step.inputs[key]) for key in keys if key is not None]


def local_field(step: StepInput[GreRun]) -> StepResult:
    """Remove the background field in every pass, of every echo where each is inverted by itself."""
    from bids_app import qsm

    run, section, like = step.record, step.settings.background, step.inputs["total_field"]
    masks = read_pass_masks(step)
    total = total_field_ppm(step)
    local = qsm.local_field(
        total,
        masks,
        grid_of(run, total.shape),
        sd=read_array(step.inputs["field_sd"]),
        residual=read_array(step.inputs["residual"]),
        single_echo=run.starts_from_phase and len(run.echoes) == 1,
        echoes=echo_phase(step, total) if "phase" in step.inputs else None,
        options=section.choice,
        parameters=section.methods,
        progress=step.progress,
    )
    outputs = {"pass_mask": Output(np.stack([valid for mask_pass in local.passes for valid in mask_pass.valid]), like)}
    if section.choice.method != "none":
        outputs["pass_field"] = Output(
            np.stack([field for mask_pass in local.passes for field in mask_pass.fields]), like
        )
    if _keeps_total_field(step.settings):
        outputs["corrected_field"] = Output(local.total, like)
    if section.choice.boundary_sources != "keep":
        outputs["pass_domain"] = Output(np.stack([mask_pass.domain for mask_pass in local.passes]), like)
        outputs["mask_boundary_sources"] = Output(local.boundary_sources, like)
    return StepResult(outputs, _metrics(local, section.choice), local.warnings, local.methods)


def _metrics(local: "LocalField", choice: BackgroundChoices) -> dict[str, object]:
    metrics: dict[str, object] = {"alternation": [round(v, 3) if np.isfinite(v) else None for v in local.excess]}
    if local.transmit_phase:
        metrics["transmit_receive_phase_ppm"] = local.transmit_phase
    if local.device:
        metrics["background_device"] = local.device
    if local.iterations is not None:
        metrics["background_iterations"] = local.iterations
    if choice.boundary_sources != "keep":
        metrics["boundary_sources_voxels"] = int(np.count_nonzero(local.boundary_sources))
    return metrics


def _keeps_total_field(settings: Settings) -> bool:
    """Return whether the corrected total field is kept: for the inversion, or to show what was removed from it."""
    choice = settings.background.choice
    corrected = choice.alternation != "keep" or choice.transmit_receive_phase != "keep"
    return bool(choice.method == "none" or choice.boundary_sources != "keep" or corrected)


def local_field_outputs(step: StepInput[GreRun], field_ppm: FloatArray, key: str = "local_field") -> dict[str, Output]:
    """Return the local field as a field map with its magnitude, or as a working file for the trend's step."""
    run, like = step.record, step.inputs["magnitude"]
    if key != "local_field":
        return {key: Output(field_ppm, like)}
    facts = {"MagneticFieldStrength": run.field_strength}
    return {
        "local_field": Output(ppm_to_hz(field_ppm, field_strength(run)), like, facts),
        "local_field_magnitude": Output(read_array(step.inputs["magnitude"]), like),
    }


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys = ("total_field", "field_sd", "residual", *pass_masks(run, settings))
    each = inverts_each_echo(run, settings) and settings.background.choice.method != "none"
    return (*keys, "phase") if each else keys


def inverts_each_echo(run: GreRun, settings: Settings) -> bool:
    """Return whether each echo is inverted by itself: the settings say so, and the run starts from their phase."""
    return settings.inversion.choice.per_echo and run.starts_from_phase


def background_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products of background removal that the inversion needs."""
    choice = settings.background.choice
    if starts_after_background(run):
        return ("pass_mask", "pass_field")
    keys: tuple[str, ...] = ("pass_mask",) if choice.method == "none" else ("pass_mask", "pass_field")
    if _keeps_total_field(settings):
        keys += ("corrected_field",)
    return keys if choice.boundary_sources == "keep" else (*keys, "pass_domain", "mask_boundary_sources")


def has_local_field(run: GreRun, settings: Settings) -> bool:
    """Return whether the run has a local field: its own, or that of another dataset."""
    if run.given("chimap"):
        return run.given("local_field") is not None
    return settings.background.choice.method != "none"


def _padding(settings: Settings) -> float:
    """Return the padding of the sources outside: the grid is periodic, so what lies behind is in front, too."""
    return 2 * padding_of(settings.background)


#: Arrays of one echo, and local field and mask of each echo where they are inverted one by one.
_MEMORY, _EACH = memory(40, padding=_padding), memory(40, 3, padding=_padding)


def _memory(run: GreRun, settings: Settings) -> int:
    return (_EACH if settings.inversion.choice.per_echo else _MEMORY)(run, settings)


BACKGROUND = Step(
    "background",
    "Background removal",
    local_field,
    reads=("background",),
    headers=grid_image,
    needs=_needs,
    makes=background_keys,
    memory=_memory,
)
