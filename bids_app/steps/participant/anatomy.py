"""Steps over the T1-weighted image: bias field, FastSurfer, and the atlas's deformation onto it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.adapters import ants, fastsurfer, fastsurfer_output
from bids_app.adapters.images import from_ras, write_ras
from bids_app.adapters.labels import Region, lookup_rows, named
from bids_app.adapters.quality import head_mask, registration_quality
from bids_app.derivatives.files import read_grid, read_image, read_label_image, write_image
from bids_app.model.records import Anatomical, Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.grid import Grid
from bids_app.steps.participant.segmentations import (
    Segmentation,
    is_wanted,
    roots,
    script_of,
    segmentations,
    the_atlas,
    words,
)


def corrected(image: Path, work_dir: Path, threads: int, name: str) -> Path:
    """Write an image in RAS axes without its bias field into ``work_dir`` and return its path."""
    plain, mask, out = (work_dir / f"{name}_{what}.nii.gz" for what in ("ras", "head", "n4"))
    write_ras(image, plain)
    data, affine = read_image(plain)
    inside = head_mask(data)
    if not inside.any():
        inside = data > 0
    write_image(mask, inside, affine, "uint8")
    ants.n4(plain, mask, out, work_dir, threads)
    return out


def rows_of(segmentation: Segmentation, present: Sequence[int]) -> list[dict[str, object]]:
    """Return the look-up table: all regions that a table names (of FastSurfer's those that are there), and others."""
    table = segmentation.regions()
    listed = set(present) if segmentation.kind == "fastsurfer" else set(present) | set(table)
    if not table and listed <= {1}:  # a mask of one thing, which may be empty: no lesion is a finding
        table, listed = {1: Region(1, segmentation.name)}, {1}
    regions = named(table, sorted(listed))
    return lookup_rows(regions.values())


def labels_in(data: npt.NDArray[np.number]) -> list[int]:
    """Return the labels of an image but 0."""
    return [int(value) for value in np.unique(np.rint(data)) if value != 0]


def resampled_labels(
    like: Path, image: Path, transforms: Sequence[Path], work_dir: Path, threads: int, name: str
) -> npt.NDArray[np.int32]:
    """Return a label image on the grid of ``like`` (its own axes), in one interpolation."""
    target, source, out = (work_dir / f"{name}_{what}.nii.gz" for what in ("target", "source", "labels"))
    if not target.exists():
        write_ras(like, target)
    write_ras(image, source)
    ants.apply(target, source, transforms, out, work_dir, threads, labels=True)
    return np.rint(from_ras(read_image(out)[0], read_grid(like)[1])).astype(np.int32)


def prepare_t1w(step: StepInput[Anatomical]) -> StepResult:
    """Remove the bias field of the T1-weighted image."""
    image = step.inputs["t1w"]
    out = corrected(image, step.work_dir, step.threads, "t1w")
    data = from_ras(read_image(out)[0], read_grid(image)[1])
    metrics = {"head_voxels": int(head_mask(data).sum())}
    return StepResult({"t1w_preproc": Output(data, image)}, metrics, (), ("n4",))


def run_fastsurfer(step: StepInput[Anatomical]) -> StepResult:
    """Segment by FastSurfer, or take its output from another dataset."""
    settings = step.settings.fastsurfer.choice.to_mapping()
    if "labels" in step.inputs:
        made = fastsurfer_output.Segmentation(step.inputs["labels"], step.inputs["brain"], "unknown (taken as it is)")
        fastsurfer_output.check_files(made)
    else:
        folder = step.work_dir / "fastsurfer"
        made = fastsurfer.segment(step.inputs["t1w"], folder, step.inputs["script"], step.threads, settings)
    labels, affine = read_image(made.labels)
    brain = read_image(made.brain_mask)[0] > 0
    on_t1w = resampled_labels(step.inputs["t1w"], made.labels, [], step.work_dir, step.threads, "fastsurfer")
    segmentation = Segmentation("fastsurfer", "fastsurfer")
    facts = {"FastSurferVersion": made.version, "SpatialReference": "orig"}
    volume = float(brain.sum() * abs(np.linalg.det(affine[:3, :3])))
    lost = 1 - on_t1w.astype(bool).sum() * _voxel_volume(step.inputs["t1w"]) / max(
        (labels > 0).sum() * abs(np.linalg.det(affine[:3, :3])), 1
    )
    warnings = [f"{lost:.0%} of FastSurfer's labels lie outside the T1w image"] if lost > 0.05 else []
    outputs = {
        "labels_native@fastsurfer": Output(labels, affine=affine),
        "brain_native@fastsurfer": Output(brain, affine=affine),
        "dseg_t1w@fastsurfer": Output(on_t1w, step.inputs["t1w"], facts, rows=rows_of(segmentation, labels_in(labels))),
    }
    metrics = {"version": made.version, "brain_ml": round(volume / 1000, 1), "labels": len(labels_in(labels))}
    return StepResult(outputs, metrics, tuple(warnings), ("fastsurfer",))


def _voxel_volume(path: Path) -> float:
    return float(abs(np.linalg.det(read_grid(path)[1][:3, :3])))


def deform_atlas(
    template: Path, target: Path, step: StepInput[object], names: tuple[str, str], others: Sequence[Path] = ()
) -> tuple[Path, dict[str, float], list[str]]:
    """Bring a template onto an image in RAS axes; return the displacement field, figures and warnings.

    The deformation is sought where the atlas's labels and its brain are, and not in neck and air. ``others`` are more
    images of the same head on the target's grid, of the brain alone maybe: the deformation goes to all of them, the
    affine transform and the judgement to the target.
    """
    choice, work = step.settings.registration.choice, step.work_dir
    moving, linear, out = work / "atlas_ras.nii.gz", work / "atlas_affine.txt", work / "atlas_warp.nii.gz"
    write_ras(template, moving)
    region: list[Path] = []
    for key in [key for key in step.inputs if key.startswith(("image@", "brain@"))]:
        region.append(work / f"region_{len(region)}.nii.gz")
        write_ras(step.inputs[key], region[-1])
    # A template stands where its authors put it: only the centres of mass bring it near.
    ants.linear(target, moving, linear, work, ants.Linear("affine", choice.resolution, "centres"))
    iterations = (choice.syn_coarse, choice.syn_middle, choice.syn_fine) if choice.atlas == "syn" else (0, 0, 0)
    settings = ants.Syn(choice.syn_resolution, iterations)
    first, *more = (*others, target)
    pairs = [(image, moving, 1.0) for image in more]
    ants.syn(first, moving, linear, out, work, step.threads, settings, extra=pairs, region=region)
    metrics, warnings = judged(target, moving, [out], step, names)
    return out, metrics, warnings


def judged(
    fixed: Path, moving: Path, transforms: Sequence[Path], step: StepInput[object], names: tuple[str, str]
) -> tuple[dict[str, float], list[str]]:
    """Resample a moving image (both in RAS axes) and return figures and warnings of the match."""
    moved = step.work_dir / "moved.nii.gz"
    ants.apply(fixed, moving, transforms, moved, step.work_dir, step.threads)
    data, affine = read_image(fixed)
    voxel_size = Grid.from_affine(data.shape, affine).voxel_size
    return registration_quality(data, read_image(moved)[0], voxel_size, names)


def atlas_to_t1w(step: StepInput[Anatomical]) -> StepResult:
    """Bring the atlas to the T1-weighted image, and its labels with it."""
    target = step.work_dir / "t1w_ras.nii.gz"
    write_ras(step.inputs["t1w_preproc"], target)
    key = next(key for key in step.inputs if key.startswith("template@"))
    name = key.partition("@")[2]
    warp, metrics, warnings = deform_atlas(step.inputs[key], target, step, ("the T1w image", f"the atlas {name}"))
    outputs = {f"xfm_atlas_to_t1w@{name}": Output(file=warp)}
    for segmentation in _of_inputs(step):
        image = step.inputs[f"image@{segmentation.name}"]
        read_label_image(image)  # nothing else than labels goes to programs that compute with float32
        like = step.inputs["t1w_preproc"]
        labels = resampled_labels(like, image, [warp], step.work_dir, step.threads, "atlas")
        rows = rows_of(segmentation, labels_in(labels))
        outputs[f"dseg_t1w@{segmentation.name}"] = Output(labels, like, {"SpatialReference": "orig"}, rows=rows)
    return StepResult(outputs, metrics | {"atlas": name}, tuple(warnings), ("n4", "syn"))


def _of_inputs(step: StepInput[object]) -> list[Segmentation]:
    names = [key.partition("@")[2] for key in step.inputs if key.startswith("image@")]
    return [Segmentation("atlas", n, step.inputs[f"image@{n}"], step.inputs[f"table@{n}"]) for n in names]


def atlas_files(record: Record, settings: Settings) -> dict[str, Path]:
    """Return the atlas's files by the names that the steps know them by."""
    source = the_atlas(settings)
    if source is None:
        return {}
    files = {f"template@{source.name}": source.t1w}
    if source.brain_mask is not None:
        files[f"brain@{source.name}"] = source.brain_mask
    for name, image, table in source.segmentations:
        files |= {f"image@{name}": image, f"table@{name}": table}
    return files


def _t1w_file(record: Anatomical, settings: Settings) -> dict[str, Path]:
    return {"t1w": record.path}


def _fastsurfer_files(record: Anatomical, settings: Settings) -> dict[str, Path]:
    for root in roots(settings):
        output = fastsurfer.existing(root, record.subject, record.session)
        if output is not None:
            return {"t1w": record.path, "labels": output.labels, "brain": output.brain_mask}
    return {"t1w": record.path, "script": script_of(settings)}


def _fastsurfer_keys(record: Anatomical, settings: Settings) -> tuple[str, ...]:
    if "fastsurfer" not in words(settings):
        return ()
    return ("labels_native@fastsurfer", "brain_native@fastsurfer", "dseg_t1w@fastsurfer")


def _fastsurfer_memory(record: Anatomical, settings: Settings) -> int:
    shape, affine = read_grid(record.path)
    grid = Grid.from_affine(shape[:3], affine)
    return fastsurfer.memory_bytes(grid.shape, grid.voxel_size, settings.fastsurfer.choice.vox_size)


def _atlas_keys(record: Anatomical, settings: Settings) -> tuple[str, ...]:
    source = the_atlas(settings)
    if source is None:
        return ()
    of_atlas = [segmentation for segmentation in segmentations(record, settings) if segmentation.kind == "atlas"]
    return (f"xfm_atlas_to_t1w@{source.name}", *(f"dseg_t1w@{segmentation.name}" for segmentation in of_atlas))


T1W = Step(
    "t1w",
    "T1w without its bias field",
    prepare_t1w,
    sources=_t1w_file,
    makes=lambda record, settings: ("t1w_preproc",) if is_wanted(settings) or record.is_needed else (),
    memory=lambda record, settings: 1_500_000_000,
)
FASTSURFER = Step(
    "fastsurfer",
    "Segmentation by FastSurfer",
    run_fastsurfer,
    reads=("fastsurfer",),
    sources=_fastsurfer_files,
    makes=_fastsurfer_keys,
    memory=_fastsurfer_memory,
)
ATLAS = Step(
    "atlas",
    "Atlas to T1w",
    atlas_to_t1w,
    reads=("registration",),
    sources=atlas_files,
    needs=lambda record, settings: ("t1w_preproc",),
    makes=_atlas_keys,
    memory=lambda record, settings: 2_500_000_000,
)
