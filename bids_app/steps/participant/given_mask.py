"""The mask of another dataset on the run's grid: as it is, through the registration of the T1w image, or by headers."""

from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_grid, read_image, read_mask, write_image
from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray
from bids_app.steps.participant.anatomy import resampled_labels
from bids_app.steps.participant.common import memory, starts_after_background
from bids_app.steps.participant.given import extent_files, extent_of, last_given
from bids_app.steps.participant.registration import xfm_key

#: A mask that loses more than this share outside the run's field of view is reported.
_MAX_LOST = 0.05
#: A map with a value in more than this share of the field of view has not been masked.
_FILLS = 0.9


def has_given_mask(run: GreRun) -> bool:
    """Return whether the run has a mask from elsewhere; a local field and a map end where their own mask does."""
    return run.given_mask is not None or starts_after_background(run)


def source_of(run: GreRun) -> str:
    """Return where the given mask comes from, and how it came to the run's grid."""
    given = run.given_mask
    if given is None:
        return f"where {last_given(run).path.name} is not 0"
    how = {
        "gre": "on the grid of the run",
        "t1w": "brought to the run by the registration of the T1w image",
        "headers": "brought to the run by the headers alone",
    }
    return f"{given.path.name} of another dataset, {how[given.space]}"


def given_mask(step: StepInput[GreRun]) -> StepResult:
    """Bring the mask of another dataset to the run's grid, interpolated once."""
    run, like = step.record, step.inputs["magnitude"]
    if run.given_mask is None:
        inside = extent_of(step)
        return StepResult({"mask_given": Output(inside, like)}, {}, _unmasked(run, float(inside.mean())))
    path, space = step.inputs["given_mask"], run.given_mask.space
    if space == "gre":
        return StepResult({"mask_given": Output(read_mask(path), like)})
    mask, lost = _brought(step, path, like)
    if not mask.any():
        raise QsmAppError(
            f"{path.name}: no voxel of it lies in the run's field of view; check that it is of the same head, or leave "
            "--derivatives out"
        )
    warnings = []
    if space == "headers":
        warnings.append(f"there is no T1w image to register: {path.name} was brought to the run by the headers alone")
    if lost > _MAX_LOST:
        warnings.append(f"{lost:.0%} of the mask {path.name} lies outside the run's field of view")
    return StepResult({"mask_given": Output(mask, like)}, {"lost": round(lost, 4)}, tuple(warnings))


def _unmasked(run: GreRun, share: float) -> tuple[str, ...]:
    """Return a warning where the map with which the run starts has a value nearly everywhere."""
    if share < _FILLS:
        return ()
    return (
        f"{last_given(run).path.name} has a value in {share:.0%} of the field of view, so that its mask is not known: "
        "give a brain mask with it (--derivatives), or set it to 0 around the brain",
    )


def _brought(step: StepInput[GreRun], path: Path, like: Path) -> tuple[BoolArray, float]:
    """Return a mask on the grid of another image, and the share of its volume that is lost."""
    data, affine = read_image(path)
    inside = step.work_dir / "given_mask.nii.gz"
    write_image(inside, data > 0, affine, "uint8")
    names = ("xfm_t1w_to_gre_warp", "xfm_t1w_to_gre")
    chain = [step.inputs[name] for name in names if name in step.inputs]
    mask: BoolArray = resampled_labels(like, inside, chain, step.work_dir, step.threads, "given") > 0
    before, after = (
        np.count_nonzero(inside_mask) * abs(np.linalg.det(place[:3, :3]))
        for inside_mask, place in ((data > 0, affine), (mask, read_grid(like)[1]))
    )
    return mask, float(max(0.0, 1 - after / before)) if before else 1.0


def _files(run: GreRun, settings: Settings) -> dict[str, Path]:
    if run.given_mask is not None:
        return {"given_mask": run.given_mask.path}
    return extent_files(run) if starts_after_background(run) else {}


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    through_t1w = run.given_mask is not None and run.given_mask.space == "t1w"
    return ("magnitude", xfm_key(settings)) if through_t1w else ("magnitude",)


GIVEN_MASK = Step(
    "given-mask",
    "Mask of another dataset",
    given_mask,
    sources=_files,
    needs=_needs,
    makes=lambda run, settings: ("mask_given",) if has_given_mask(run) else (),
    memory=memory(10, programs=1_000_000_000),
)
