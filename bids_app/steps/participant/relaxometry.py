"""R2*, T2* and S0."""

from typing import Any

from bids_app.derivatives.files import read_image
from bids_app.model.records import GreRun
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import combined, has_magnitude, load_magnitude, memory, single_files


def relaxation(step: StepInput) -> StepResult:
    """R2*, T2* and S0 of multi-echo magnitude."""
    from bids_app.qsm.relaxometry.arlo import arlo_applies, r2star_arlo
    from bids_app.qsm.relaxometry.decay import noise_level
    from bids_app.qsm.relaxometry.loglinear import r2star_loglinear

    section = step.settings.relaxometry
    magnitude = load_magnitude(step)
    mask = read_image(step.inputs["mask_brain"])[0] > 0
    name = section.choice.method
    if name == "arlo" and not arlo_applies(step.record.echo_times):
        name = "loglinear"
    function = {"arlo": r2star_arlo, "loglinear": r2star_loglinear}[name]
    air = read_image(step.inputs["field_sd"])[0] == 0
    noise = noise_level(magnitude[-1], air)
    maps = function(magnitude, step.record.echo_times, mask, params=section.of(section.choice.method), noise=noise)
    like, facts = step.inputs["mask_brain"], {"EchoTimes": list(step.record.echo_times), "Method": name}
    arrays = {"r2star": maps.r2star, "t2star": maps.t2star, "s0": maps.s0}
    return StepResult({key: Output(data, like, facts) for key, data in arrays.items()}, {"noise": noise}, (), (name,))


def _relaxation_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    possible = len(run.echoes) > 1 and has_magnitude(run)
    return ("r2star", "t2star", "s0") if possible and settings.relaxometry.choice.method != "none" else ()


RELAXOMETRY = Step(
    "relaxometry",
    "R2*, T2* and S0",
    relaxation,
    reads=("relaxometry",),
    sources=single_files,
    needs=lambda run, settings: ("mask_brain", "field_sd", *combined(run)),
    makes=_relaxation_keys,
    memory=memory(8, 1),
)
