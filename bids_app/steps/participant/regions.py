"""Steps over the gradient-echo run that use its anatomy: labels, brain mask, tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.adapters import regions
from bids_app.derivatives.files import read_grid, read_image, read_label_image
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.grid import Grid
from bids_app.steps.participant.anatomy import labels_in, resampled_labels, rows_of
from bids_app.steps.participant.common import memory
from bids_app.steps.participant.r2prime import r2prime_keys
from bids_app.steps.participant.registration import atlas_to_gre_keys, on_grid_of, registered, xfm_key
from bids_app.steps.participant.relaxometry import has_r2star
from bids_app.steps.participant.segmentations import (
    KINDS,
    Segmentation,
    brain_source,
    regions_in,
    segmentations,
    the_atlas,
)
from bids_app.steps.participant.separation import SOURCES, separation_keys

#: Labels outside the head by more than this share are in the wrong place.
_OUTSIDE = 0.1


def _chain(step: StepInput[GreRun], kind: str) -> list[Path]:
    """Return the transforms that bring a segmentation to the run, last one first."""
    names = ["xfm_t1w_to_gre_warp", "xfm_t1w_to_gre"]
    if kind == "atlas":
        names += [key for key in step.inputs if key.startswith("xfm_atlas_to_")]
    return [step.inputs[name] for name in names if name in step.inputs]


def labels_on_gre(kind: str) -> Callable[[StepInput[GreRun]], StepResult]:
    """Return the function that brings the segmentations of one kind to the run's grid."""

    def function(step: StepInput[GreRun]) -> StepResult:
        like = step.inputs["magnitude"]
        magnitude, _ = read_image(like)
        outputs, warnings = {}, []
        metrics: dict[str, object] = {}
        for key in [key for key in step.inputs if key.startswith(("image@", "labels_native@"))]:
            name, image = key.partition("@")[2], step.inputs[key]
            segmentation = Segmentation(kind, name, image, step.inputs.get(f"table@{name}"))
            if kind != "fastsurfer":
                read_label_image(image)  # nothing else than labels goes to programs that compute with float32
            how = _space(image, like, kind, step)
            if how == "gre":
                labels = read_label_image(image)[0]
            else:
                chain = _chain(step, kind) if how == "t1w" else []
                labels = resampled_labels(like, image, chain, step.work_dir, step.threads, name)
            if how == "headers":
                warnings.append(f"no T1w image: {image.name} was brought to the run by the headers alone")
            present = labels_in(read_image(image)[0] if kind == "fastsurfer" else labels)
            facts = {"SpatialReference": _REFERENCE, "BroughtBy": how, "Method": kind}
            outputs[f"dseg_gre@{name}"] = Output(labels, like, facts, rows=rows_of(segmentation, present))
            warnings += _judge_labels(labels, magnitude, name, metrics)
        return StepResult(outputs, metrics, tuple(warnings))

    return function


#: The grid is that of the run's own images; the sidecar's Sources name them.
_REFERENCE = "gradient-echo images of the run"


def _space(image: Path, like: Path, kind: str, step: StepInput[GreRun]) -> str:
    """Return how a segmentation lies to the run: on its grid (gre), in the T1w's space (t1w), or by its headers."""
    if kind in ("given", "extra") and on_grid_of(image, like):
        return "gre"
    return "t1w" if _chain(step, kind) else "headers"


def _judge_labels(
    labels: npt.NDArray[np.int32], magnitude: npt.NDArray[np.float32], name: str, metrics: dict[str, object]
) -> list[str]:
    from bids_app.adapters.quality import head_mask

    inside = labels != 0
    count = int(inside.sum())
    outside = float((inside & ~head_mask(magnitude)).sum() / count) if count else 1.0
    metrics[name] = {"voxels": count, "outside_head": round(outside, 4)}
    if not count:
        return [f"segmentation {name}: no voxel of it lies in the run's field of view"]
    if outside > _OUTSIDE:
        return [f"segmentation {name} looks misplaced: {outside:.0%} of it lies outside the head"]
    return []


def brain_mask(step: StepInput[GreRun]) -> StepResult:
    """Bring the segmentation's brain mask to the run."""
    like = step.inputs["magnitude"]
    kind = "fastsurfer" if "brain_native@fastsurfer" in step.inputs else "atlas"
    image = step.inputs["brain_native@fastsurfer"] if kind == "fastsurfer" else step.inputs["brain"]
    mask = resampled_labels(like, image, _chain(step, kind), step.work_dir, step.threads, "brain") > 0
    voxel = Grid.from_affine(mask.shape, read_grid(like)[1]).voxel_volume
    return StepResult({"mask_anatomy": Output(mask, like)}, {"brain_ml": round(mask.sum() * voxel / 1000, 1)})


def tables(kind: str) -> Callable[[StepInput[GreRun]], StepResult]:
    """Return the function that measures the regions of one kind of segmentation."""

    def function(step: StepInput[GreRun]) -> StepResult:
        maps = {"chi": read_image(step.inputs["chimap"])[0]}
        for name in ("r2star", "r2prime", *SOURCES):
            if name in step.inputs:
                maps[name] = read_image(step.inputs[name])[0]
        valid, affine = read_image(step.inputs["mask_qsm"])
        volume = Grid.from_affine(valid.shape, affine).voxel_volume
        outputs, metrics = {}, {}
        for key in [key for key in step.inputs if key.startswith("dseg_gre@")]:
            name, path = key.partition("@")[2], step.inputs[key]
            labels = read_label_image(path)[0]
            rows = regions.statistics(
                labels, regions_in(path), maps, valid > 0, volume, step.settings.regions.choice.erosion
            )
            outputs[f"regions@{name}"] = Output(rows=rows)
            metrics[name] = {"regions": len(rows), "empty": sum(row["voxels"] == 0 for row in rows)}
        return StepResult(outputs, metrics)

    return function


def _own(run: GreRun, settings: Settings, kind: str) -> list[Segmentation]:
    return [segmentation for segmentation in segmentations(run, settings) if segmentation.kind == kind]


def _space_needs(run: GreRun, settings: Settings, kind: str) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("magnitude",)
    if registered(run, settings):
        keys += (xfm_key(settings),)
    return keys + (atlas_to_gre_keys(run, settings) if kind == "atlas" else ())


def _t1w_needs(run: GreRun, settings: Settings, kind: str) -> tuple[str, ...]:
    if run.t1w is None:
        return ()
    if kind == "fastsurfer":
        return ("labels_native@fastsurfer",)
    source = the_atlas(settings) if kind == "atlas" else None
    return (f"xfm_atlas_to_t1w@{source.name}",) if source else ()


def _label_files(run: GreRun, settings: Settings, kind: str) -> dict[str, Path]:
    files = {}
    for segmentation in _own(run, settings, kind):
        if segmentation.image is not None:
            files[f"image@{segmentation.name}"] = segmentation.image
        if segmentation.table is not None:
            files[f"table@{segmentation.name}"] = segmentation.table
    return files


def _labels_step(kind: str) -> Step[GreRun]:
    return Step(
        f"labels-{kind}",
        f"Labels on the run's grid ({kind})",
        labels_on_gre(kind),
        sources=lambda run, settings: _label_files(run, settings, kind),
        needs=lambda run, settings: _space_needs(run, settings, kind),
        needs_t1w=lambda run, settings: _t1w_needs(run, settings, kind),
        makes=lambda run, settings: tuple(f"dseg_gre@{s.name}" for s in _own(run, settings, kind)),
        memory=memory(10, programs=1_000_000_000),
    )


def _table_needs(run: GreRun, settings: Settings, kind: str) -> tuple[str, ...]:
    keys = ["chimap", "mask_qsm", *(f"dseg_gre@{s.name}" for s in _own(run, settings, kind))]
    if has_r2star(run, settings):
        keys.append("r2star")
    keys += [key for key in r2prime_keys(run, settings) if key == "r2prime"]
    return (*keys, *(key for key in separation_keys(run, settings) if key in SOURCES))


def _tables_step(kind: str) -> Step[GreRun]:
    return Step(
        f"regions-{kind}",
        f"Table of regions ({kind})",
        tables(kind),
        reads=("regions",),
        needs=lambda run, settings: _table_needs(run, settings, kind),
        makes=lambda run, settings: tuple(f"regions@{s.name}" for s in _own(run, settings, kind)),
        memory=memory(12),
    )


def _brain_kind(run: GreRun, settings: Settings) -> str | None:
    return brain_source(run, settings) if settings.mask.choice.from_anatomy else None


def _brain_files(run: GreRun, settings: Settings) -> dict[str, Path]:
    source = the_atlas(settings) if _brain_kind(run, settings) == "atlas" else None
    return {"brain": source.brain_mask} if source and source.brain_mask else {}


def _brain_t1w(run: GreRun, settings: Settings) -> tuple[str, ...]:
    kind = _brain_kind(run, settings)
    return ("brain_native@fastsurfer",) if kind == "fastsurfer" else _t1w_needs(run, settings, kind or "")


BRAIN = Step(
    "brain",
    "Brain mask of the segmentation",
    brain_mask,
    sources=_brain_files,
    needs=lambda run, settings: _space_needs(run, settings, _brain_kind(run, settings) or ""),
    needs_t1w=_brain_t1w,
    makes=lambda run, settings: ("mask_anatomy",) if _brain_kind(run, settings) else (),
    memory=memory(10, programs=1_000_000_000),
)
LABELS = tuple(_labels_step(kind) for kind in KINDS)
TABLES = tuple(_tables_step(kind) for kind in KINDS)
