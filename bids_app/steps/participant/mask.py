"""Masks from the data alone, or around a given mask."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.options import MaskChoices
from bids_app.steps.participant.brain_extraction import is_extracted
from bids_app.steps.participant.common import grid_image, grid_of, memory, read_array, starts_after_background
from bids_app.steps.participant.empty_slices import empty_slices
from bids_app.steps.participant.given_mask import has_given_mask, source_of


class RecipeMaps(TypedDict, total=False):
    """The maps that the recipes of a run start from, ``[x, y, z]``."""

    quality: FloatArray
    magnitude: FloatArray
    residual: FloatArray
    given: BoolArray
    anatomy: BoolArray
    brain: BoolArray


def masks(step: StepInput[GreRun]) -> StepResult:
    """Make the filled mask, what is processed around it, and with two passes the mask of reliable voxels."""
    from bids_app import qsm

    choice, like = _choice(step.record, step.settings), step.inputs["magnitude"]
    sd = read_array(step.inputs["field_sd"])
    try:
        result = qsm.make_masks(sd, grid_of(step.record, sd.shape), **_maps(step, choice), options=choice)
    except qsm.EmptyMaskError as error:
        raise QsmAppError(_advice(step, str(error))) from error
    given = _is_given(step.record, step.settings)
    facts = {"Recipe": choice.filled, "BrainMaskOfSegmentation": choice.from_anatomy}
    if "mask_extracted" in step.inputs:
        facts |= {"BrainExtraction": step.settings.brain_extraction.choice.program}
    if given:
        facts = {"Description": f"Brain mask: {source_of(step.record)}"}
    outputs = {"mask_brain": Output(result.brain, like, facts)}
    if _is_processed_wider(step.record, step.settings):
        outputs["mask_processing"] = Output(result.processing, like, {"Margin": choice.margin})
    if result.reliable is not None:
        outputs["mask_reliable"] = Output(result.reliable, like, {"Recipe": choice.reliable})
    shares = list(result.discarded)
    warnings = (*result.warnings, *empty_slices(read_array(step.inputs["magnitude"])), *_discarded(shares))
    metrics = {"mask_voxels": int(np.count_nonzero(result.brain)), "mask_given": given, "mask_discarded": shares}
    if given:
        metrics["mask_source"] = source_of(step.record)
    return StepResult(outputs, metrics, warnings)


def _choice(run: GreRun, settings: Settings) -> MaskChoices:
    """Return the choices for a run: a local field or a map of another dataset ends where its own mask does."""
    choice = settings.mask.choice
    return replace(choice, two_pass=False, margin=0.0) if starts_after_background(run) else choice


def two_pass(run: GreRun, settings: Settings) -> bool:
    """Return whether a run is inverted in two masks."""
    return _choice(run, settings).two_pass


def _discarded(shares: Sequence[float]) -> Iterator[str]:
    if shares:
        sizes = ", ".join(f"{share:.0%}" for share in sorted(shares, reverse=True)[:5])
        yield (
            f"the mask keeps the largest component; {len(shares)} other(s) were discarded ({sizes} of its size): look "
            "at the mask, and choose another recipe by --mask if tissue is missing"
        )


def _maps(step: StepInput[GreRun], choice: MaskChoices) -> RecipeMaps:
    """Return the maps that the recipes start from, and only those."""
    from bids_app.qsm.pipeline.masks import mask_sources

    wanted = mask_sources(choice)
    maps = RecipeMaps()
    if "quality" in wanted:
        maps["quality"] = read_array(step.inputs["quality"])
    if "magnitude" in wanted:
        maps["magnitude"] = read_array(step.inputs["magnitude"])
    if "reliability" in wanted:
        maps["residual"] = read_array(step.inputs["residual"])
    if "mask_given" in step.inputs:
        maps["given"] = read_mask(step.inputs["mask_given"])
    if "mask_anatomy" in step.inputs:
        maps["anatomy"] = read_mask(step.inputs["mask_anatomy"])
    if "mask_extracted" in step.inputs:
        maps["brain"] = read_mask(step.inputs["mask_extracted"])
    return maps


def _advice(step: StepInput[GreRun], problem: str) -> str:
    if _is_given(step.record, step.settings) and "recipe" not in problem:
        return f"{source_of(step.record)}: the mask is empty; give another one, or leave --derivatives out"
    return f"{problem}: choose another one by --mask"


def _is_given(run: GreRun, settings: Settings) -> bool:
    from bids_app.qsm.pipeline.masks import is_given

    return is_given(settings.mask.choice, has_given_mask(run))


def _is_processed_wider(run: GreRun, settings: Settings) -> bool:
    from bids_app.qsm.pipeline.masks import is_processed_wider

    return is_processed_wider(_choice(run, settings), has_given_mask(run))


def _given_file(run: GreRun, settings: Settings) -> dict[str, Path]:
    """Return the file of a given mask: the sidecar of the mask names it as its source."""
    return {"given_mask": run.given_mask.path} if run.given_mask else {}


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("quality", "magnitude", "field_sd", "residual")
    if settings.mask.choice.from_anatomy:
        keys += ("mask_anatomy",)
    if has_given_mask(run):
        keys += ("mask_given",)
    return (*keys, "mask_extracted") if is_extracted(run, settings) else keys


def pass_masks(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the masks in which the field is processed, one for each pass."""
    first = "mask_processing" if _is_processed_wider(run, settings) else "mask_brain"
    return (first, "mask_reliable") if two_pass(run, settings) else (first,)


def mask_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the masks that are made."""
    return tuple(dict.fromkeys(("mask_brain", *pass_masks(run, settings))))


MASKS = Step(
    "mask",
    "Masks",
    masks,
    reads=("mask", "brain_extraction"),
    sources=_given_file,
    headers=grid_image,
    needs=_needs,
    makes=mask_keys,
    memory=memory(26),
)
