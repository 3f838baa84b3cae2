"""Masks from the data alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import grid_of, memory


def masks(step: StepInput) -> StepResult:
    """Make the filled mask, what is processed around it, and with two passes the mask of reliable voxels."""
    from bids_app.qsm.mask.erosion import dilate_by_sphere
    from bids_app.qsm.mask.recipe import make_mask

    choice, like = step.settings.mask.choice, step.inputs["magnitude"]
    sd, _ = read_image(step.inputs["field_sd"])
    known = sd > 0  # elsewhere there is no signal and no field
    sources = _sources(step, choice, known, sd)
    voxel_size = grid_of(step.record, sd.shape).voxel_size

    discarded: list[float] = []

    def made(recipe: str, lost: list[float] | None = None) -> Any:
        return make_mask(recipe, **sources, voxel_size=voxel_size, discarded=lost) & known

    given, wider = _is_given(step.record, step.settings), _is_processed_wider(step.record, step.settings)
    found: Any = made(choice.filled, discarded) if wider or not given else None
    if given:
        mask, facts = _given(sources["given"] & known, step.inputs["given_mask"])
    else:
        mask, facts = found, {"Recipe": choice.filled, "BrainMaskOfSegmentation": choice.from_anatomy}
        if choice.from_anatomy:
            mask = found & (read_image(step.inputs["mask_anatomy"])[0] > 0)
    scope = _not_empty(mask, choice.filled)
    outputs = {"mask_brain": Output(mask, like, facts)}
    if wider:
        scope = mask | (found & dilate_by_sphere(mask, choice.margin, voxel_size))
        outputs["mask_processing"] = Output(scope, like, {"Margin": choice.margin})
    if choice.two_pass:  # reliable voxels of the object, not of the scalp
        reliable = _not_empty(made(choice.reliable) & scope, choice.reliable)
        outputs["mask_reliable"] = Output(reliable, like, {"Recipe": choice.reliable})
    warnings = [*_empty_slices(read_image(step.inputs["magnitude"])[0]), *_discarded(discarded)]
    metrics = {"mask_voxels": int(np.count_nonzero(mask)), "mask_given": given, "mask_discarded": discarded}
    return StepResult(outputs, metrics, tuple(warnings))


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


def _given(mask: Any, path: Path) -> tuple[Any, dict[str, Any]]:
    if not mask.any():
        raise QsmAppError(f"{path}: the mask is empty; give another one, or leave --derivatives out")
    return mask, {"Description": "Object mask of another dataset (--derivatives)"}


def _not_empty(mask: Any, recipe: str) -> Any:
    if not mask.any():
        raise QsmAppError(f"the mask recipe {recipe!r} leaves no voxel: choose another one by --mask")
    return mask


def _is_given(run: GreRun, settings: Any) -> bool:
    """Whether the object mask is another dataset's, not one that a recipe makes of it."""
    from bids_app.qsm.mask.recipe import parse_recipe

    return bool(run.given_mask) and "given" not in parse_recipe(settings.mask.choice.filled).sources


def _is_processed_wider(run: GreRun, settings: Any) -> bool:
    """Whether the field is processed around the mask too: such masks end at tissue, where no method is at its best.

    On simulated heads, maps in the true brain mask have 6 to 10 points less error (NRMSE) with 5 mm around it.
    """
    choice = settings.mask.choice
    return bool(choice.margin > 0 and (choice.from_anatomy or _is_given(run, settings)))


def _given_mask(run: GreRun, settings: Any) -> dict[str, Path]:
    return {"given_mask": run.given_mask} if run.given_mask else {}


def _sources(step: StepInput, choice: Any, known: Any, sd: Any) -> dict[str, Any]:
    """Return the maps that the recipes start from, and only those."""
    from bids_app.qsm.field.reliability import reliability_weights
    from bids_app.qsm.mask.recipe import parse_recipe

    recipes = (choice.filled, choice.reliable) if choice.two_pass else (choice.filled,)
    wanted: set[str] = set().union(*(parse_recipe(recipe).sources for recipe in recipes))
    maps: dict[str, Any] = {name: read_image(step.inputs[name])[0] for name in wanted & {"quality", "magnitude"}}
    if "reliability" in wanted:
        maps["reliability"] = reliability_weights(sd, known, read_image(step.inputs["residual"])[0])
    if "given_mask" in step.inputs:
        maps["given"] = read_image(step.inputs["given_mask"])[0] > 0
    return maps


def _needs(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("quality", "magnitude", "field_sd", "residual")
    return (*keys, "mask_anatomy") if settings.mask.choice.from_anatomy else keys


def mask_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    """Return the masks that are made."""
    keys = ["mask_brain"]
    if _is_processed_wider(run, settings):
        keys.append("mask_processing")
    if settings.mask.choice.two_pass:
        keys.append("mask_reliable")
    return tuple(keys)


MASKS = Step(
    "mask", "Masks", masks, reads=("mask",), sources=_given_mask, needs=_needs, makes=mask_keys, memory=memory(10)
)
