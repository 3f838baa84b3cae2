"""R2*, T2* and S0."""

from bids_app.derivatives.files import read_image, read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import combined, has_magnitude, load_magnitude, memory, single_files
from bids_app.steps.participant.empty_slices import empty_slices


def relaxation(step: StepInput[GreRun]) -> StepResult:
    """R2*, T2* and S0 of multi-echo magnitude."""
    from bids_app import qsm

    section, times = step.settings.relaxometry, step.record.echo_times
    magnitude = load_magnitude(step)
    gaps = [
        gap for k, echo in enumerate(magnitude[1:], start=2) for gap in empty_slices(echo, f"magnitude of echo {k}: ")
    ]
    fit = qsm.r2star(
        magnitude,
        times,
        read_mask(step.inputs["mask_brain"]),
        air=read_image(step.inputs["field_sd"])[0] == 0,
        options=section.choice,
        parameters=section.methods,
    )
    like, facts = step.inputs["mask_brain"], {"EchoTimes": list(times), "Method": fit.method}
    arrays = {"r2star": fit.r2star, "t2star": fit.t2star, "s0": fit.s0}
    outputs = {key: Output(data, like, facts) for key, data in arrays.items()}
    return StepResult(outputs, {"noise": fit.noise}, tuple(gaps), (fit.method,))


def relaxation_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products' keys of R2*, T2* and S0: none with one echo, without magnitude, or where none is chosen."""
    possible = len(run.echo_times) > 1 and has_magnitude(run)
    return ("r2star", "t2star", "s0") if possible and settings.relaxometry.choice.method != "none" else ()


def has_r2star(run: GreRun, settings: Settings) -> bool:
    """Return whether the run has a map of R2*: its own, or that of another dataset."""
    return run.given("r2star") is not None or bool(relaxation_keys(run, settings))


RELAXOMETRY = Step(
    "relaxometry",
    "R2*, T2* and S0",
    relaxation,
    reads=("relaxometry",),
    sources=single_files,
    needs=lambda run, settings: ("mask_brain", "field_sd", *combined(run)),
    makes=relaxation_keys,
    memory=memory(12, 2),
)
