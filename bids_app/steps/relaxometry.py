"""R2*, T2* and S0."""

from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.steps.common import echo_files, memory
from bids_app.steps.step import Output, Step, StepInput, StepResult


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


def _relaxation_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    possible = len(run.echoes) > 1 and all(e.magnitude for e in run.echoes)
    return ("r2star", "t2star", "s0") if possible and settings.relaxometry.choice.method != "none" else ()


RELAXOMETRY = Step(
    "relaxometry", "R2*, T2* and S0", relaxation, reads=("relaxometry",), sources=echo_files,
    needs=lambda run, settings: ("mask_brain",), makes=_relaxation_keys,
    memory=memory(4, 8),
)  # fmt: skip
