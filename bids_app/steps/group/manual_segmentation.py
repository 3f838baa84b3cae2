"""Steps of a manual segmentation of the template: taken over, brought to every run, measured in both spaces."""

from pathlib import Path

import numpy as np

from bids_app.adapters import regions
from bids_app.adapters.images import off_grid
from bids_app.adapters.itksnap import read_labels
from bids_app.adapters.labels import lookup_rows, named
from bids_app.derivatives.files import read_grid, read_image, read_label_image
from bids_app.errors import QsmAppError
from bids_app.group import warps
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import CHANNELS, ManualSegmentation, ManualSegmentationRun
from bids_app.qsm.grid import Grid
from bids_app.steps.group.normalized import OPTIONAL_MAPS, transforms_of
from bids_app.steps.group.template import image_key
from bids_app.steps.participant.segmentations import regions_in


def take_over(step: StepInput[ManualSegmentation]) -> StepResult:
    """Check that the segmentation lies on the template's grid and write it with the template, with its table."""
    record = step.record
    labels, affine = read_label_image(step.inputs["image"])
    grid = step.inputs.get("grid")
    if grid is None:
        raise QsmAppError("there is no template that the segmentation could lie on")
    fault = off_grid(record.image, labels.shape, affine, grid)
    if fault:
        raise QsmAppError(fault)
    grid_affine = read_grid(grid)[1]
    table = read_labels(step.inputs["table"]) if "table" in step.inputs else {}
    regions_by_index = named(table, sorted({*table, *(int(v) for v in np.unique(labels) if v)}))
    rows = lookup_rows(regions_by_index.values())
    outputs = {f"dseg_manual@{record.name}": Output(labels, affine=grid_affine, rows=rows)}
    return StepResult(outputs, {"labels": len(rows)})


def measure(step: StepInput[ManualSegmentationRun]) -> StepResult:
    """Bring the labels to the run's own grid by the inverse maps, and measure there and in the template's space."""
    record = step.record
    name = record.segmentation.name
    manual = step.inputs.get("segmentation")
    if manual is None or "warp" not in step.inputs:
        raise QsmAppError("the manual segmentation or the run's registration to the template is not there")
    table, erosion = regions_in(manual), step.settings.regions.choice.erosion
    labels, affine = read_image(manual)
    labels_there = np.rint(labels).astype(np.int32)
    rows: list[dict[str, object]] = []
    shape, grid = read_grid(step.inputs["chimap"])
    warp, pose = warps.read_map(step.inputs["warp"]), warps.read_map(step.inputs["pose"])
    back = [warps.inverted(pose), warps.inverted(warp)]
    native = warps.resample_labels(labels_there, affine, shape, grid, back)
    for space, values, grid_affine, prefix in (
        ("native", native, grid, ""),
        ("template", labels_there, affine, "space_"),
    ):
        if f"{prefix}chimap" not in step.inputs or f"{prefix}mask" not in step.inputs:
            raise QsmAppError("the run's maps in the space of the template are not there")
        maps = {"chi": read_image(step.inputs[f"{prefix}chimap"])[0]}
        for key in OPTIONAL_MAPS:
            if f"{prefix}{key}" in step.inputs:
                maps[key] = read_image(step.inputs[f"{prefix}{key}"])[0]
        valid = read_image(step.inputs[f"{prefix}mask"])[0] > 0
        volume = Grid.from_affine(valid.shape, grid_affine).voxel_volume
        rows += [{"space": space} | row for row in regions.statistics(values, table, maps, valid, volume, erosion)]
    lost = [r.words for i, r in sorted(table.items()) if not (native == i).any() and (labels_there == i).any()]
    warnings = (f"no voxel of the run lies in {', '.join(lost[:10])} of the manual segmentation",) if lost else ()
    lookup = lookup_rows(region for _, region in sorted(table.items()))
    facts = {"SpatialReference": "gradient-echo images of the run", "Interpolation": "generic label, once"}
    outputs = {
        f"dseg_manual_gre@{name}": Output(native, affine=grid, sidecar=facts, rows=lookup),
        f"regions_manual@{name}": Output(rows=rows),
    }
    return StepResult(outputs, {"regions": len(table), "empty": len(lost)}, warnings)


def _segmentation_files(record: ManualSegmentation, settings: Settings) -> dict[str, Path]:
    files = {"image": record.image} | ({"table": record.table} if record.table else {})
    given = dict(record.files)
    return files | ({"grid": next(given[name] for name in reversed(CHANNELS) if name in given)} if given else {})


def _segmentation_target(record: ManualSegmentation, settings: Settings) -> dict[str, tuple[Record, str]]:
    if record.target is None:
        return {}
    return {"grid": (record.target, image_key(record.target.channels[-1], record.target))}


def _run_inputs(record: ManualSegmentationRun, settings: Settings) -> dict[str, tuple[Record, str]]:
    space = record.space
    inputs: dict[str, tuple[Record, str]] = {
        "segmentation": (record.segmentation, f"dseg_manual@{record.segmentation.name}"),
        "mask": (space.run, "mask_qsm"),
        "space_mask": (space, f"space_mask@{space.template}"),
    }
    for key in ("chimap", *(key for key in OPTIONAL_MAPS if key in space.run.made)):
        inputs |= {key: (space.run, key), f"space_{key}": (space, f"space_{key}@{space.template}")}
    return inputs | transforms_of(space, "")


MANUAL_STEPS = (
    Step(
        "manual_segmentation",
        "Manual segmentation of the template",
        take_over,
        sources=_segmentation_files,
        collects=_segmentation_target,
        makes=lambda record, settings: (f"dseg_manual@{record.name}",),
        memory=lambda record, settings: 1_000_000_000,
    ),
)
MANUAL_RUN_STEPS = (
    Step(
        "manual_regions",
        "Manual segmentation in the run and on the template",
        measure,
        reads=("regions",),
        collects=_run_inputs,
        makes=lambda record, settings: (
            f"dseg_manual_gre@{record.segmentation.name}",
            f"regions_manual@{record.segmentation.name}",
        ),
        memory=lambda record, settings: 1_500_000_000,
    ),
)
