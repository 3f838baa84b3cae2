"""Phase of the echoes to the total field, with its standard error and the quality of the phase."""

import json

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.steps.participant.common import (
    combined,
    finite_magnitude,
    grid_image,
    grid_of,
    has_magnitude,
    like_of,
    memory,
    read_array,
    single_files,
)


def total_field(step: StepInput[GreRun]) -> StepResult:
    """Unwrap the phase, fit the field over the echoes, and measure the quality of the echoes."""
    from bids_app import qsm

    run, section, times = step.record, step.settings.field, step.record.echo_times
    support = read_mask(step.inputs["support"])
    magnitude = finite_magnitude(step)
    field = qsm.fit_total_field(
        read_array(step.inputs["phase"]),
        magnitude,
        times,
        grid_of(run, support.shape),
        support,
        options=section.choice,
        parameters=section.methods,
    )
    scaling = json.loads(step.inputs["phase_checks"].read_text(encoding="utf-8"))["scaling"]
    like, echo_times = like_of(run), {"EchoTimes": list(times)}
    facts = echo_times | {"MagneticFieldStrength": run.field_strength, "PhaseScaling": scaling}
    outputs = {
        "total_field": Output(field.total, like, facts),
        "total_field_magnitude": Output(field.magnitude, like, echo_times),
        "magnitude": Output(field.magnitude, like, echo_times),
        "quality": Output(field.quality, like),
        "field_sd": Output(field.sd, like),
        "residual": Output(field.residual, like),
        "wraps": Output(field.wraps, like),
        "echo_quality": Output(sidecar=_echo_quality(run, magnitude, support) | {"field_drift": field.drift}),
    }
    metrics = {
        "median_residual_rad": float(np.median(field.residual[support])),
        "median_field_sd_hz": float(np.median(field.sd[support])),
        "fit_iterations": field.iterations,
    }
    return StepResult(outputs, metrics, field.warnings, field.methods)


def _echo_quality(run: GreRun, magnitude: FloatArray | None, support: BoolArray) -> dict[str, object]:
    """Return what only this step has the data for, for the step of quality control."""
    from bids_app.qsm.quality.echoes import ghost_fraction, snr

    if magnitude is None:
        return {}
    # Slices are encoded in 3D acquisitions alone; few sidecars say which axis is that of phase encoding.
    metadata = run.echoes[0].metadata
    places = {"i": [0], "j": [1], "k": [2]}
    axes = places.get(str(metadata.get("PhaseEncodingDirection", ""))[:1], [0, 1])
    if metadata.get("MRAcquisitionType", "3D") == "3D":
        axes = [*axes, 2]
    signals: dict[str, object] = {
        f"snr_echo{number}": snr(image, support) for number, image in enumerate(magnitude, start=1)
    }
    return signals | {"ghost_fraction": ghost_fraction(magnitude[0], support, axes)}


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    coils = combined(run)[1:] if has_magnitude(run) else ()
    return ("phase", "support", "phase_checks", *coils)


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys = ("total_field", "total_field_magnitude", "magnitude", "quality", "field_sd", "residual")
    return (*keys, "wraps", "echo_quality")


FIELD = Step(
    "field",
    "Total field",
    total_field,
    reads=("field",),
    # The phase images too: the sidecar of the field names them as its sources.
    sources=single_files,
    headers=grid_image,
    needs=_needs,
    makes=_makes,
    # Corrected and unwrapped phase and magnitude of all echoes, and a dozen maps.
    memory=memory(14, 4),
)
