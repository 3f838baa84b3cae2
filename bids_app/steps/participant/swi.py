"""Susceptibility-weighted image and its minimum-intensity projection."""

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import grid_image, grid_of, has_magnitude, memory, read_array


def weighted_image(step: StepInput[GreRun]) -> StepResult:
    """SWI from the field and magnitude of all echoes."""
    from bids_app.qsm.swi.clearswi import CLEARSWI, clear_swi

    field, magnitude = read_array(step.inputs["total_field"]), read_array(step.inputs["magnitude"])
    params = step.settings.swi.of(CLEARSWI)
    mask = read_mask(step.inputs["mask_brain"])
    result = clear_swi(field, magnitude, mask, grid_of(step.record, field.shape), params=params)
    like, facts = step.inputs["magnitude"], {"EchoTimes": list(step.record.echo_times)}
    outputs = {
        "swi": Output(result.swi, like, facts),
        "minip": Output(result.minip, like, facts | {"SlabThickness": params.thickness}),
    }
    return StepResult(outputs, {}, (), (CLEARSWI.key,))


def _swi_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    return ("swi", "minip") if has_magnitude(run) and settings.swi.choice.method != "none" else ()


SWI = Step(
    "swi",
    "Susceptibility-weighted image",
    weighted_image,
    reads=("swi",),
    headers=grid_image,
    needs=lambda run, settings: ("total_field", "magnitude", "mask_brain"),
    makes=_swi_keys,
    memory=memory(20),
)
