"""Masks from the data alone."""

from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image
from bids_app.steps.step import Output, Step, StepInput, StepResult


def masks(step: StepInput) -> StepResult:
    """Make the filled mask, and with two passes the mask of reliable voxels, from quality or magnitude."""
    from bids_app.qsm.masking import make_mask

    choice = step.settings.mask.choice
    quality, magnitude = read_image(step.inputs["quality"])[0], read_image(step.inputs["magnitude"])[0]
    like = step.inputs["magnitude"]
    recipes = {"mask_brain": choice.filled} | ({"mask_reliable": choice.reliable} if choice.two_pass else {})
    outputs = {}
    for key, recipe in recipes.items():
        mask = make_mask(recipe, quality=quality, magnitude=magnitude)
        if not mask.any():
            raise ValueError(f"the mask recipe {recipe!r} leaves no voxel: choose another one by --mask")
        outputs[key] = Output(mask, like, {"Recipe": recipe})
    return StepResult(outputs, {"mask_voxels": int(np.count_nonzero(np.asarray(outputs["mask_brain"].data)))})


def mask_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    """Return the masks that are made."""
    return ("mask_brain", "mask_reliable") if settings.mask.choice.two_pass else ("mask_brain",)


MASKS = Step(
    "mask", "Masks", masks, reads=("mask",),
    needs=lambda run, settings: ("quality", "magnitude"), makes=mask_keys,
)  # fmt: skip
