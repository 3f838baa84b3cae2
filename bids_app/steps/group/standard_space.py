"""The step that registers the template to an output space of TemplateFlow."""

from pathlib import Path

import numpy as np

from bids_app.adapters import ants
from bids_app.adapters.images import write_ras
from bids_app.adapters.quality import registration_quality
from bids_app.derivatives.files import read_grid, read_image
from bids_app.errors import QsmAppError
from bids_app.group import warps
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import CHANNELS, StandardSpace
from bids_app.qsm.grid import Grid
from bids_app.steps.group.template import image_key


def register(step: StepInput[StandardSpace]) -> StepResult:
    """Register the template to the image of the output space: rigid, affine, SyN."""
    record = step.record
    choice, work = step.settings.template.choice, step.work_dir
    both = [n for n in CHANNELS if f"fixed_{n}" in step.inputs and f"moving_{n}" in step.inputs]
    names = (both[0], both[0]) if both else (_first(step, "fixed"), _first(step, "moving"))
    sentences = []
    if not both:
        sentences.append(
            f"the template has no image of the contrast of {record.target}: its {names[1]} was registered to the "
            f"{names[0]} there, which is less exact"
        )
    fixed, moving = work / "fixed.nii.gz", work / "moving.nii.gz"
    write_ras(step.inputs[f"fixed_{names[0]}"], fixed)
    write_ras(step.inputs[f"moving_{names[1]}"], moving)
    resolution = max(choice.registration_resolution, choice.resolution)
    affine, warp = work / "affine.txt", work / "warp.nii.gz"
    ants.linear(fixed, moving, affine, work, ants.Linear("rigid+affine", resolution, "centres"))
    settings = ants.Syn(resolution, (choice.syn_coarse, choice.syn_middle, choice.syn_fine))
    ants.syn(fixed, moving, affine, warp, work, step.threads, settings)
    maps = [warps.read_map(warp)]
    shape, grid = read_grid(step.inputs[f"fixed_{names[0]}"])
    outputs = {f"xfm_template@{record.target}": Output(file=warp, sidecar={"Seed": ants.SEED, "Threads": step.threads})}
    for name in _channels(record):
        data, source_affine = read_image(step.inputs[f"moving_{name}"])
        moved = warps.resample(np.nan_to_num(data), source_affine, shape, grid, maps)
        outputs[f"onto_{name}@{record.target}"] = Output(
            moved, affine=grid, sidecar={"SpatialReference": f"tpl-{record.target}", "Interpolation": "linear, once"}
        )
    data, source_affine = read_image(fixed)
    seen = warps.resample(*read_image(moving), data.shape, source_affine, maps)
    quality = (f"the template {record.target}", f"the template {record.template}")
    metrics, warnings = registration_quality(
        data, seen, Grid.from_affine(data.shape, source_affine).voxel_size, quality
    )
    return StepResult(outputs, metrics, (*sentences, *warnings), ("affine", "syn"))


def _first(step: StepInput[StandardSpace], what: str) -> str:
    channel = next((name for name in CHANNELS if f"{what}_{name}" in step.inputs), None)
    if channel is None:
        raise QsmAppError("there is no image of the template to register")
    return channel


def _channels(record: StandardSpace) -> tuple[str, ...]:
    return tuple(name for name, _ in record.files) if record.source is None else record.source.channels


def _files(record: StandardSpace, settings: Settings) -> dict[str, Path]:
    fixed = {f"fixed_{name}": path for name, path in record.space_files}
    return fixed | {f"moving_{name}": path for name, path in record.files}


def _inputs(record: StandardSpace, settings: Settings) -> dict[str, tuple[Record, str]]:
    source = record.source
    return {f"moving_{name}": (source, image_key(name, source)) for name in _channels(record)} if source else {}


STANDARD_SPACE_STEPS = (
    Step(
        "standard_space",
        "Template to the output space",
        register,
        reads=("template",),
        sources=_files,
        collects=_inputs,
        makes=lambda record, settings: (
            f"xfm_template@{record.target}",
            *(f"onto_{name}@{record.target}" for name in _channels(record)),
        ),
        memory=lambda record, settings: 3_000_000_000,
    ),
)
