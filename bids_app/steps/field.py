"""Phase of the echoes to the total field."""

from typing import Any

import numpy as np

from bids_app.steps.common import echo_files, grid_of, like_of, load_echoes
from bids_app.steps.step import Output, Step, StepInput, StepResult


def total_field(step: StepInput) -> StepResult:
    """Phase of all echoes to the total field, its standard error and the phase's quality."""
    from bids_app import qsm
    from bids_app.qsm.fieldfit import fit_linear, fit_nonlinear
    from bids_app.qsm.offsets import mcpc3ds
    from bids_app.qsm.unwrap_romeo import romeo_quality

    run, section = step.record, step.settings.field
    magnitude, phase, notes = load_echoes(run)
    grid, times = grid_of(run, phase.shape[1:]), run.echo_times
    methods = [section.choice.unwrap, f"fit_{section.choice.fit}"]
    if len(times) > 1 and section.choice.offsets == "mcpc3ds":
        phase = mcpc3ds(phase, magnitude, times, None, grid, params=section.of("mcpc3ds")).phase
        methods.insert(0, "mcpc3ds")
    romeo_params = section.of("romeo")
    unwrapped = qsm.UNWRAP[section.choice.unwrap](
        phase, None, grid, magnitude=magnitude, echo_times=times, params=section.of(section.choice.unwrap)
    )
    quality = romeo_quality(phase, None, grid, magnitude=magnitude, echo_times=times, params=romeo_params)
    fits: dict[str, Any] = {"linear": fit_linear, "nonlinear": fit_nonlinear}
    fit_field = fits[section.choice.fit]
    fit = fit_field(unwrapped, magnitude, times, np.ones(grid.shape, bool), params=section.of(section.choice.fit))
    like = like_of(run)
    combined = np.sqrt(np.square(magnitude).sum(axis=0))
    facts = {"EchoTimes": list(times), "MagneticFieldStrength": run.field_strength, "PhaseScaling": notes}
    outputs = {
        "total_field": Output(fit.field_hz, like, facts),
        "total_field_magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "quality": Output(quality, like),
        "field_sd": Output(fit.sd_hz, like),
        "residual": Output(fit.residual_rad, like),
    }
    metrics = {
        "median_residual_rad": float(np.median(fit.residual_rad)),
        "phase": notes,
        "fit_iterations": fit.iterations,
    }
    return StepResult(outputs, metrics, (), tuple(methods))


FIELD = Step(
    "field", "Total field", total_field, reads=("field",), sources=echo_files,
    makes=lambda run, settings: (
        "total_field", "total_field_magnitude", "magnitude", "quality", "field_sd", "residual",
    ),
)  # fmt: skip
