"""Susceptibility-weighted image and its minimum-intensity projection."""

from typing import Any

from bids_app.derivatives.files import read_image
from bids_app.model.records import GreRun
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import grid_of, has_magnitude, memory


def weighted_image(step: StepInput) -> StepResult:
    """SWI from the field and magnitude of all echoes."""
    from bids_app.qsm.swi.clearswi import CLEARSWI, clear_swi

    name = step.settings.swi.choice.method
    field, _ = read_image(step.inputs["total_field"])
    magnitude, _ = read_image(step.inputs["magnitude"])
    mask = read_image(step.inputs["mask_brain"])[0] > 0
    grid = grid_of(step.record, field.shape)
    params = step.settings.swi.of(CLEARSWI)
    result = clear_swi(field, magnitude, mask, grid, params=params)
    like, facts = step.inputs["magnitude"], {"EchoTimes": list(step.record.echo_times)}
    outputs = {
        "swi": Output(result.swi, like, facts),
        "minip": Output(result.minip, like, facts | {"SlabThickness": params.thickness}),
    }
    return StepResult(outputs, {}, (), (name,))


def _swi_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    return ("swi", "minip") if has_magnitude(run) and settings.swi.choice.method != "none" else ()


SWI = Step(
    "swi",
    "Susceptibility-weighted image",
    weighted_image,
    reads=("swi",),
    needs=lambda run, settings: ("total_field", "magnitude", "mask_brain"),
    makes=_swi_keys,
    memory=memory(20),
)
