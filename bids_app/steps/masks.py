"""Masks from the data alone."""

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.steps.common import grid_of, memory
from bids_app.steps.step import Output, Step, StepInput, StepResult


def masks(step: StepInput) -> StepResult:
    """Make the filled mask, and with two passes the mask of reliable voxels, from quality or magnitude."""
    from bids_app.qsm.masking import make_mask, parse_recipe

    choice = step.settings.mask.choice
    like = step.inputs["magnitude"]
    sd, _ = read_image(step.inputs["field_sd"])
    known = sd > 0  # elsewhere there is no signal and no field
    sources = _sources(step, choice, known, sd)
    voxel_size = grid_of(step.record, sd.shape).voxel_size
    recipes = {"mask_brain": choice.filled} | ({"mask_reliable": choice.reliable} if choice.two_pass else {})
    outputs = {}
    given = read_image(step.inputs["given_mask"])[0] > 0 if "given_mask" in step.inputs else None
    anatomy = read_image(step.inputs["mask_anatomy"])[0] > 0 if "mask_anatomy" in step.inputs else None
    for key, recipe in recipes.items():
        if given is not None and key == "mask_brain" and "given" not in parse_recipe(recipe).sources:
            outputs[key] = _given(given & known, step.inputs["given_mask"], like)
            continue
        mask = make_mask(recipe, **sources, given=given, voxel_size=voxel_size) & known
        if key == "mask_reliable":  # reliable voxels of the object, not of the scalp
            mask &= np.asarray(outputs["mask_brain"].data, bool)
        if anatomy is not None:
            mask &= anatomy
        if not mask.any():
            raise QsmAppError(f"the mask recipe {recipe!r} leaves no voxel: choose another one by --mask")
        outputs[key] = Output(mask, like, {"Recipe": recipe, "BrainMaskOfSegmentation": anatomy is not None})
    return StepResult(outputs, {"mask_voxels": int(np.count_nonzero(np.asarray(outputs["mask_brain"].data)))})


def _given(mask: Any, path: Path, like: Path) -> Output:
    if not mask.any():
        raise QsmAppError(f"{path}: the mask is empty; give another one, or leave --derivatives out")
    return Output(mask, like, {"Description": "Object mask of another dataset (--derivatives)"})


def _given_mask(run: GreRun, settings: Any) -> dict[str, Path]:
    return {"given_mask": run.given_mask} if run.given_mask else {}


def _sources(step: StepInput, choice: Any, known: Any, sd: Any) -> dict[str, Any]:
    """Return the maps that the recipes start from, and only those."""
    from bids_app.qsm.masking import parse_recipe
    from bids_app.qsm.reliability import reliability_weights

    recipes = (choice.filled, choice.reliable) if choice.two_pass else (choice.filled,)
    wanted: set[str] = set().union(*(parse_recipe(recipe).sources for recipe in recipes))
    maps = {name: read_image(step.inputs[name])[0] for name in wanted & {"quality", "magnitude"}}
    if "reliability" in wanted:
        maps["reliability"] = reliability_weights(sd, known, read_image(step.inputs["residual"])[0])
    return maps


def _needs(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("quality", "magnitude", "field_sd", "residual")
    return (*keys, "mask_anatomy") if settings.mask.choice.from_anatomy else keys


def mask_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    """Return the masks that are made."""
    return ("mask_brain", "mask_reliable") if settings.mask.choice.two_pass else ("mask_brain",)


MASKS = Step(
    "mask", "Masks", masks, reads=("mask",), sources=_given_mask,
    needs=_needs, makes=mask_keys,
    memory=memory(10),
)  # fmt: skip
