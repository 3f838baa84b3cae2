"""Total field to susceptibility."""

from typing import Any

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.qsm.geometry import hz_to_ppm, ppm_to_hz
from bids_app.steps.common import grid_of, memory
from bids_app.steps.masks import mask_keys
from bids_app.steps.step import Output, Step, StepInput, StepResult


def _passes(step: StepInput) -> list[Any]:
    keys = [key for key in ("mask_brain", "mask_reliable") if key in step.inputs]
    return [read_image(step.inputs[key])[0] > 0 for key in keys]


def local_field_and_chi(step: StepInput) -> StepResult:
    """Remove the background field and invert, in one pass or two, and set the zero of the scale."""
    from bids_app import qsm
    from bids_app.qsm.combine import reference, two_pass
    from bids_app.qsm.reliability import reliability_weights

    run, settings = step.record, step.settings
    background, inversion = settings.background, settings.inversion
    field_hz, _ = read_image(step.inputs["total_field"])
    grid = grid_of(run, field_hz.shape)
    total = hz_to_ppm(field_hz, run.field_strength)
    magnitude, _ = read_image(step.inputs["magnitude"])
    sd, residual = read_image(step.inputs["field_sd"])[0], read_image(step.inputs["residual"])[0]
    passes = []
    for mask in _passes(step):
        weights = reliability_weights(sd, mask, residual)
        name = background.choice.method
        local, valid = qsm.BACKGROUND[name](
            total, mask, grid, params=background.of(name), weights=weights, progress=step.progress
        )  # fmt: skip
        name = inversion.choice.method
        chi = qsm.INVERSIONS[name](
            local, valid, grid, params=inversion.of(name), weights=weights, magnitude=magnitude,
            progress=step.progress,
        )  # fmt: skip
        passes.append((local, valid, chi))
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
        "local_field_magnitude": Output(magnitude, like),
        "mask_qsm": Output(valid, like),
    }
    if len(passes) > 1:
        outputs["chimap_singlepass"] = Output(single, like, facts | {"ReferenceOffset": single_offset})
    return StepResult(
        outputs, {"qsm_voxels": int(valid.sum())}, (), (background.choice.method, inversion.choice.method)
    )


def _chi_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("chimap", "local_field", "local_field_magnitude", "mask_qsm")
    return (*keys, "chimap_singlepass") if settings.mask.choice.two_pass else keys


CHI = Step(
    "chi", "Local field and susceptibility", local_field_and_chi, reads=("background", "inversion", "reference"),
    needs=lambda run, settings: ("total_field", "field_sd", "residual", "magnitude", *mask_keys(run, settings)),
    makes=_chi_keys,
    memory=memory(40),
)  # fmt: skip
