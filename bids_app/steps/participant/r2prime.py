"""R2': R2* without the decay of field gradients, less R2."""

from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image, read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import FloatArray
from bids_app.steps.participant.common import (
    combined,
    grid_image,
    grid_of,
    has_magnitude,
    load_magnitude,
    magnitude_files,
    memory,
)
from bids_app.steps.participant.spin_echo import has_r2

_MADE = ("r2prime", "r2prime_sd", "mask_r2prime")


def reversible(step: StepInput[GreRun]) -> StepResult:
    """Fit R2* with the gradient of the total field, and subtract R2."""
    from bids_app.qsm.relaxometry import noise_level, r2prime

    run, files, section = step.record, step.inputs, step.settings.separation
    mask = read_mask(files["mask_brain"])
    r2 = read_image(files["r2"])[0]
    r2_sd = read_image(files["r2_sd"])[0] if "r2_sd" in files else None
    known = mask & (r2 > 0)
    if "r2star" in files:
        star, valid = read_image(files["r2star"])[0], known
        star_sd: FloatArray | None = None
        added, methods = np.zeros_like(star), tuple[str, ...]()
    else:
        magnitude = load_magnitude(step)
        noise = noise_level(magnitude[-1], read_image(files["field_sd"])[0] == 0)
        star, star_sd, added, valid, methods = _r2star(step, magnitude, mask, noise)
    result = r2prime(star, r2, valid & known, r2star_sd=star_sd, r2_sd=r2_sd)
    inside = max(int(np.count_nonzero(mask)), 1)
    shares = {
        "negative_share": result.negative_share,
        "gradient_share": float(np.count_nonzero(mask & (added > 0.1 * np.maximum(star, 1))) / inside),
        "valid_fraction": float(np.count_nonzero(result.valid) / inside),
    }
    shares = {name: round(value, 4) for name, value in shares.items()}
    facts: dict[str, object] = {"GradientCorrection": section.choice.gradient, "EchoTimes": list(run.echo_times)}
    facts |= {"NegativeShare": shares["negative_share"], "FieldGradientShare": shares["gradient_share"]}
    facts |= {"ValidFraction": shares["valid_fraction"]}
    like = files["mask_brain"]
    outputs = {
        "r2prime": Output(result.r2prime, like, facts),
        "r2prime_sd": Output(result.sd, like, facts),
        "mask_r2prime": Output(result.valid, like),
    }
    return StepResult(outputs, shares, (), methods)


def _r2star(
    step: StepInput[GreRun], magnitude: FloatArray, mask: np.ndarray, noise: float
) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray, tuple[str, ...]]:
    """Return R2*, its standard deviation, what gradients had added, where it is valid, and the methods that ran."""
    from bids_app import qsm
    from bids_app.qsm.relaxometry import GradientParams, r2star_corrected

    run, section = step.record, step.settings.separation
    field, grid = read_image(step.inputs["total_field"])[0], grid_of(run, mask.shape)
    name = section.choice.gradient
    if name == "none":
        params = GradientParams(profile="none")
        fit = r2star_corrected(magnitude, run.echo_times, field, mask, grid, params=params, noise=noise)
    else:
        correct = qsm.GRADIENT_CORRECTIONS[name]
        axis = slice_axis(run)
        fit = correct(
            magnitude, run.echo_times, field, mask, grid, params=section.of(name), noise=noise, slice_axis=axis
        )
    return fit.r2star, fit.r2star_sd, fit.gradient_rate, fit.valid, () if name == "none" else (name,)


def slice_axis(run: GreRun) -> int | None:
    """Return the axis of the slices of a 2D acquisition, None for 3D (MRAcquisitionType, SliceEncodingDirection)."""
    metadata = run.echoes[0].metadata
    if metadata.get("MRAcquisitionType") != "2D":
        return None
    return "ijk".index(str(metadata.get("SliceEncodingDirection", "k"))[:1] or "k")


def _files(run: GreRun, settings: Settings) -> dict[str, Path]:
    return {} if run.given("r2star") else magnitude_files(run)


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("mask_brain", "r2")
    if run.given("r2") is None:
        keys += ("r2_sd",)
    return (*keys, "r2star") if run.given("r2star") else (*keys, "total_field", "field_sd", *combined(run)[1:])


def r2prime_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products of R2'; none where R2 or R2* is missing, the map alone where another dataset has it."""
    if run.given("r2prime"):
        return ("r2prime",)
    r2star = run.given("r2star") is not None or (len(run.echo_times) > 1 and has_magnitude(run))
    return _MADE if has_r2(run, settings) and r2star else ()


R2PRIME = Step(
    "r2prime",
    "R2'",
    reversible,
    reads=("separation",),
    sources=_files,
    headers=grid_image,
    needs=_needs,
    makes=lambda run, settings: keys if (keys := r2prime_keys(run, settings)) == _MADE else (),
    memory=memory(16, 1),
)
