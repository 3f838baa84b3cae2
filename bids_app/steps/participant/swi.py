"""Susceptibility-weighted image and its minimum-intensity projection."""

from collections.abc import Callable

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.params import Params
from bids_app.qsm.registry import SWI as METHODS
from bids_app.qsm.results import Swi
from bids_app.qsm.signatures import SwiFunction
from bids_app.steps.participant.common import (
    combined,
    echo_magnitude,
    grid_image,
    grid_of,
    has_magnitude,
    magnitude_files,
    memory,
    read_array,
)


def weighted_image(step: StepInput[GreRun]) -> StepResult:
    """SWI of the combined magnitude and, on request, of every echo."""
    section, times = step.settings.swi, step.record.echo_times
    method = METHODS[section.choice.method]
    params = section.of(method)
    combined_magnitude = read_array(step.inputs["magnitude"])
    make = _maker(step, method.function, params)
    weighted = make(combined_magnitude, times[-1])
    like = step.inputs["magnitude"]
    facts: dict[str, object] = {"EchoTimes": list(times), "Method": method.label}
    slab: dict[str, object] = {"SlabThickness": params.to_mapping()["thickness"]}
    outputs = {"swi": Output(weighted.swi, like, facts), "minip": Output(weighted.minip, like, facts | slab)}
    if section.choice.per_echo:
        every = np.empty((*combined_magnitude.shape, len(times)), np.float32)
        for place, time in enumerate(times):
            every[..., place] = make(echo_magnitude(step, place), time).swi
        outputs["swi_echoes"] = Output(every, like, facts)
    return StepResult(outputs, {}, (), (method.key,))


def _maker(
    step: StepInput[GreRun], function: SwiFunction[Params], params: Params
) -> Callable[[FloatArray, float], Swi]:
    """Return the method as a function of a magnitude and its echo time in s, with the run's other data bound."""
    field, mask = read_array(step.inputs["total_field"]), read_mask(step.inputs["mask_brain"])
    chi = read_array(step.inputs["chimap"]) if "chimap" in step.inputs else None
    grid = grid_of(step.record, field.shape)
    return lambda magnitude, time: function(field, magnitude, mask, grid, params=params, echo_time=time, chi_ppm=chi)


def swi_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products' keys of SWI: none without magnitude, or where none is chosen."""
    if not (has_magnitude(run) and run.echo_times) or settings.swi.choice.method == "none":
        return ()  # the magnitude of a field map has no echo time of its own
    return ("swi", "minip", "swi_echoes") if settings.swi.choice.per_echo else ("swi", "minip")


def swi_needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products that the chosen method of SWI needs."""
    choice = settings.swi.choice
    chi = ("chimap",) if choice.method != "none" and "chi" in METHODS[choice.method].needs else ()
    return ("total_field", "magnitude", "mask_brain", *chi, *(combined(run) if choice.per_echo else ()))


SWI = Step(
    "swi",
    "Susceptibility-weighted image",
    weighted_image,
    reads=("swi",),
    sources=lambda run, settings: magnitude_files(run) if settings.swi.choice.per_echo else {},
    headers=grid_image,
    needs=swi_needs,
    makes=swi_keys,
    memory=memory(24, 1),
)
