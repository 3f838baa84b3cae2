"""The step that prepares a participant for the template: all runs, brought together at their mean position."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bids_app.adapters import ants
from bids_app.adapters.quality import head_mask
from bids_app.derivatives.files import read_grid, read_image
from bids_app.errors import QsmAppError
from bids_app.group import template, warps
from bids_app.model.group_run import GroupRun
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import TemplateSubject
from bids_app.steps.participant.anatomy import corrected


def label_of(run: GroupRun) -> str:
    """Return a run's name in the names of its transforms: ``GREses1run2``."""
    return "GRE" + "".join(f"{key}{value}" for key, value in run.entities if key != "sub").replace("+", "")


def prepare(step: StepInput[TemplateSubject]) -> StepResult:
    """Remove bias fields, bring T1w images to their runs, and average a participant's runs at their mean position."""
    magnitudes: list[Path] = []
    t1w: list[tuple[Path, warps.Map]] = []
    subject = step.record
    runs = [run for run in subject.runs if f"{run.basename}@magnitude" in step.inputs]
    if not runs:
        raise QsmAppError(f"sub-{subject.label} has no combined magnitude to register")
    for number, run in enumerate(runs):
        source = step.inputs[f"{run.basename}@magnitude"]
        magnitudes.append(corrected(source, step.work_dir, step.threads, f"run{number}"))
        image, xfm = (step.inputs.get(f"{run.basename}@{what}") for what in ("t1w", "xfm"))
        if image is not None and xfm is not None:
            t1w.append((image, warps.read_map(xfm)))
    poses = _poses(magnitudes, step)
    outputs = {}
    for run in subject.runs:
        matrix = poses[runs.index(run)] if run in runs else np.eye(4)
        path = warps.write_linear(step.work_dir / f"{label_of(run)}.txt", matrix)
        outputs[f"xfm_run_to_subject@{label_of(run)}"] = Output(file=path)
    seen: dict[str, list[tuple[Path, list[warps.Map]]]] = {
        "magnitude": [(path, [warps.Linear(pose)]) for path, pose in zip(magnitudes, poses, strict=True)]
    }
    if "subject_t1w" in _subject_keys(subject, step.settings):
        if len(t1w) < len(runs):
            raise QsmAppError(f"sub-{subject.label}: the T1w image or its transform to the gradient echo is gone")
        seen["t1w"] = [(path, [warps.Linear(pose), xfm]) for (path, xfm), pose in zip(t1w, poses, strict=True)]
    shape, affine = read_grid(magnitudes[0])
    for name, parts in seen.items():
        if name == "magnitude" and len(parts) == 1:
            data, _ = _normalised(magnitudes[0])
        else:
            data, _ = template.mean_image(
                warps.resample(*_normalised(path), shape, affine, maps) for path, maps in parts
            )
        outputs[f"subject_{name}"] = Output(data, affine=affine)
    return StepResult(outputs, {"runs": len(runs), "channels": sorted(seen)}, (), ("n4",))


def _poses(images: Sequence[Path], step: StepInput[TemplateSubject]) -> list[warps.Float64]:
    """Return, for each run, the matrix that takes points of the mean position to the run's."""
    matrices = [np.eye(4)]
    for number, image in enumerate(images[1:], start=1):
        out = step.work_dir / f"pose{number}.txt"
        ants.linear(images[0], image, out, step.work_dir, ants.Linear("rigid", 2.0, "headers"))
        matrices.append(warps.read_linear(out))
    if len(matrices) == 1:
        return matrices
    back = template.mean_pose(matrices, template.centre_of_mass(*read_image(images[0])), read_grid(images[0])[1])
    return [matrix @ back for matrix in matrices]


def _normalised(path: Path) -> tuple[warps.Float32, warps.Float64]:
    """Return an image divided by its median in the head."""
    data, affine = read_image(path)
    mask = head_mask(data)
    middle = float(np.median(data[mask])) if mask.any() else 0.0
    if not middle > 0:
        raise QsmAppError(f"{path.name} shows no head")
    return np.ascontiguousarray(np.clip(data / middle, 0, 10), np.float32), affine


def _subject_keys(subject: TemplateSubject, settings: Settings) -> tuple[str, ...]:
    poses = tuple(f"xfm_run_to_subject@{label_of(run)}" for run in subject.runs)
    return (*(("subject_t1w",) if subject.has_t1w else ()), "subject_magnitude", *poses)


def _subject_inputs(subject: TemplateSubject, settings: Settings) -> dict[str, tuple[Record, str]]:
    inputs: dict[str, tuple[Record, str]] = {}
    for run in subject.runs:
        inputs[f"{run.basename}@magnitude"] = (run, "magnitude")
        if subject.has_t1w and run.t1w is not None:
            inputs[f"{run.basename}@t1w"] = (GroupRun(run.t1w, ()), "t1w_preproc")
            inputs[f"{run.basename}@xfm"] = (run, run.t1w_transform)
    return inputs


SUBJECT_STEPS = (
    Step(
        "subject",
        "Participant for the template",
        prepare,
        collects=_subject_inputs,
        makes=_subject_keys,
        memory=lambda record, settings: 2_000_000_000,
    ),
)
