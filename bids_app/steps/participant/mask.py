"""Masks from the data alone, or around a given mask."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.options import MaskChoices
from bids_app.steps.participant.common import grid_image, grid_of, memory, read_array


def masks(step: StepInput[GreRun]) -> StepResult:
    """Make the filled mask, what is processed around it, and with two passes the mask of reliable voxels."""
    from bids_app import qsm

    choice, like = step.settings.mask.choice, step.inputs["magnitude"]
    sd = read_array(step.inputs["field_sd"])
    try:
        found = qsm.make_masks(sd, grid_of(step.record, sd.shape), **_maps(step, choice), options=choice)
    except qsm.EmptyMaskError as error:
        raise QsmAppError(_advice(step, str(error))) from error
    given = _is_given(step.record, step.settings)
    facts = {"Recipe": choice.filled, "BrainMaskOfSegmentation": choice.from_anatomy}
    if given:
        facts = {"Description": "Object mask of another dataset (--derivatives)"}
    outputs = {"mask_brain": Output(found.brain, like, facts)}
    if _is_processed_wider(step.record, step.settings):
        outputs["mask_processing"] = Output(found.processing, like, {"Margin": choice.margin})
    if found.reliable is not None:
        outputs["mask_reliable"] = Output(found.reliable, like, {"Recipe": choice.reliable})
    shares = list(found.discarded)
    warnings = (*found.warnings, *_empty_slices(read_array(step.inputs["magnitude"])), *_discarded(shares))
    metrics = {"mask_voxels": int(np.count_nonzero(found.brain)), "mask_given": given, "mask_discarded": shares}
    return StepResult(outputs, metrics, warnings)


def _empty_slices(magnitude: Any) -> Iterator[str]:
    """Find slices without any signal between others that have some: they cut the object in pieces."""
    for axis, name in enumerate("ijk"):
        filled = magnitude.any(axis=tuple(a for a in range(3) if a != axis))
        places = np.flatnonzero(filled)
        gaps = np.flatnonzero(~filled[places[0] : places[-1]]) + places[0] if places.size else places
        if gaps.size:
            shown = ", ".join(str(place) for place in gaps[:10]) + (" ..." if gaps.size > 10 else "")
            yield (
                f"{gaps.size} slices along {name} are empty ({shown}) between others with signal: the object is cut in "
                "pieces and the map is wrong near them; export the images again"
            )


def _discarded(shares: Sequence[float]) -> Iterator[str]:
    if shares:
        sizes = ", ".join(f"{share:.0%}" for share in sorted(shares, reverse=True)[:5])
        yield (
            f"the mask keeps the largest component; {len(shares)} other(s) were discarded ({sizes} of its size): look "
            "at the mask, and choose another recipe by --mask if tissue is missing"
        )


def _maps(step: StepInput[GreRun], choice: MaskChoices) -> dict[str, Any]:
    """Return the maps that the recipes start from, and only those."""
    from bids_app.qsm.pipeline.masks import mask_sources

    wanted = mask_sources(choice)
    names = wanted & {"quality", "magnitude"} | ({"residual"} if "reliability" in wanted else set())
    maps = {name: read_array(step.inputs[name]) for name in names}
    masks = {"given": "given_mask", "anatomy": "mask_anatomy"}
    return maps | {name: read_mask(step.inputs[key]) for name, key in masks.items() if key in step.inputs}


def _advice(step: StepInput[GreRun], problem: str) -> str:
    if _is_given(step.record, step.settings) and "recipe" not in problem:
        path = step.inputs["given_mask"]
        return f"{path}: the mask is empty; give another one, or leave --derivatives out"
    return f"{problem}: choose another one by --mask"


def _is_given(run: GreRun, settings: Settings) -> bool:
    from bids_app.qsm.pipeline.masks import is_given

    return is_given(settings.mask.choice, run.given_mask is not None)


def _is_processed_wider(run: GreRun, settings: Settings) -> bool:
    from bids_app.qsm.pipeline.masks import is_processed_wider

    return is_processed_wider(settings.mask.choice, run.given_mask is not None)


def _given_mask(run: GreRun, settings: Settings) -> dict[str, Path]:
    return {"given_mask": run.given_mask} if run.given_mask else {}


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys = ("quality", "magnitude", "field_sd", "residual")
    return (*keys, "mask_anatomy") if settings.mask.choice.from_anatomy else keys


def pass_masks(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the masks in which the field is processed, one for each pass."""
    first = "mask_processing" if _is_processed_wider(run, settings) else "mask_brain"
    return (first, "mask_reliable") if settings.mask.choice.two_pass else (first,)


def mask_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the masks that are made."""
    return tuple(dict.fromkeys(("mask_brain", *pass_masks(run, settings))))


MASKS = Step(
    "mask",
    "Masks",
    masks,
    reads=("mask",),
    sources=_given_mask,
    headers=grid_image,
    needs=_needs,
    makes=mask_keys,
    memory=memory(26),
)
