"""Masks from the data alone."""

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.steps.step import Output, Step, StepInput, StepResult


def masks(step: StepInput) -> StepResult:
    """Make the filled mask, and with two passes the mask of reliable voxels, from quality or magnitude."""
    from bids_app.qsm.masking import make_mask

    choice = step.settings.mask.choice
    quality, magnitude = read_image(step.inputs["quality"])[0], read_image(step.inputs["magnitude"])[0]
    like = step.inputs["magnitude"]
    recipes = {"mask_brain": choice.filled} | ({"mask_reliable": choice.reliable} if choice.two_pass else {})
    outputs = {}
    given = read_image(step.inputs["given_mask"])[0] > 0 if "given_mask" in step.inputs else None
    for key, recipe in recipes.items():
        if given is not None and key == "mask_brain":
            outputs[key] = _given(given, step.inputs["given_mask"], like)
            continue
        mask = make_mask(recipe, quality=quality, magnitude=magnitude)
        if given is not None:
            mask &= given
        if not mask.any():
            raise ValueError(f"the mask recipe {recipe!r} leaves no voxel: choose another one by --mask")
        outputs[key] = Output(mask, like, {"Recipe": recipe})
    return StepResult(outputs, {"mask_voxels": int(np.count_nonzero(np.asarray(outputs["mask_brain"].data)))})


def _given(mask: Any, path: Path, like: Path) -> Output:
    if not mask.any():
        raise QsmAppError(f"{path}: the mask is empty; give another one, or leave --derivatives out")
    return Output(mask, like, {"Description": "Object mask of another dataset (--derivatives)"})


def _given_mask(run: GreRun, settings: Any) -> dict[str, Path]:
    return {"given_mask": run.given_mask} if run.given_mask else {}


def mask_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    """Return the masks that are made."""
    return ("mask_brain", "mask_reliable") if settings.mask.choice.two_pass else ("mask_brain",)


MASKS = Step(
    "mask", "Masks", masks, reads=("mask",), sources=_given_mask,
    needs=lambda run, settings: ("quality", "magnitude"), makes=mask_keys,
)  # fmt: skip
