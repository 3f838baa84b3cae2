"""The brain by a program of others, which stands for ``bet`` in the recipes of the masks."""

from pathlib import Path

import numpy as np

from bids_app.adapters import brain_extraction
from bids_app.derivatives.files import read_grid
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.grid import Grid
from bids_app.steps.participant.common import memory
from bids_app.steps.participant.given_mask import has_given_mask


def extracted_brain(step: StepInput[GreRun]) -> StepResult:
    """Let the program find the brain in the combined magnitude."""
    program, like = step.settings.brain_extraction.choice.program, step.inputs["magnitude"]
    mask = brain_extraction.extract(program, like, step.work_dir / "extraction", step.threads)
    voxel = Grid.from_affine(mask.shape, read_grid(like)[1]).voxel_volume
    metrics = {"program": program, "brain_ml": round(np.count_nonzero(mask) * voxel / 1000, 1)}
    method = brain_extraction.extractor_of(program).method
    return StepResult({"mask_extracted": Output(mask, like)}, metrics, (), (method,))


def is_extracted(run: GreRun, settings: Settings) -> bool:
    """Return whether a program finds the run's brain: one was asked for, and no given mask stands for the recipe."""
    from bids_app.qsm.pipeline.masks import is_given

    asked = bool(settings.brain_extraction.choice.program)
    return asked and not is_given(settings.mask.choice, has_given_mask(run))


def _program_files(run: GreRun, settings: Settings) -> dict[str, Path]:
    """Return the program's own files: a script that is corrected finds another brain."""
    if not is_extracted(run, settings):
        return {}
    files = brain_extraction.files_of(settings.brain_extraction.choice.program)
    return {f"program{number}": path for number, path in enumerate(files, start=1)}


BRAIN_EXTRACTION = Step(
    "brain-extraction",
    "Brain extraction",
    extracted_brain,
    reads=("brain_extraction",),
    sources=_program_files,
    needs=lambda run, settings: ("magnitude",),
    makes=lambda run, settings: ("mask_extracted",) if is_extracted(run, settings) else (),
    # SynthStrip and HD-BET are networks on the whole volume.
    memory=memory(10, programs=4_000_000_000),
)
