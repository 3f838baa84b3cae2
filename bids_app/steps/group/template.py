"""Steps of the template: register every participant in each iteration, average."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bids_app.adapters import ants
from bids_app.adapters.images import write_ras
from bids_app.adapters.quality import head_mask
from bids_app.derivatives.files import read_grid, read_image
from bids_app.errors import QsmAppError
from bids_app.group import template, warps
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import CHANNELS, Iteration, Registration, TemplateSubject
from bids_app.steps.group.template_subject import label_of

#: Registrations that end with a linear map.
_LINEAR = ("rigid", "affine", "single")


def register(step: StepInput[Registration]) -> StepResult:
    """Register a participant to the average before, or to the finished template."""
    record = step.record
    choice, work = step.settings.template.choice, step.work_dir
    pairs = [
        (step.inputs[f"fixed_{name}"], step.inputs[f"moving_{name}"])
        for name in CHANNELS
        if f"fixed_{name}" in step.inputs and f"moving_{name}" in step.inputs
    ]
    if not pairs:
        raise QsmAppError("the average or the participant's image is not there")
    # Products may be stored with any axes; ANTs gets RAS.
    ready = []
    for number, pair in enumerate(pairs):
        paths = [work / f"{what}{number}.nii.gz" for what in ("fixed", "moving")]
        for source, target in zip(pair, paths, strict=True):
            write_ras(source, target)
        ready.append((paths[0], paths[1]))
    fixed, moving = ready[0]
    resolution = max(choice.registration_resolution, choice.resolution)
    start, linear = _start(step), work / "linear.txt"
    if record.kind != "syn":
        kind = record.kind if record.kind in ("rigid", "affine") else "rigid+affine"
        ants.linear(fixed, moving, linear, work, ants.Linear(kind, resolution, "centres"), start)
        start = linear
    facts = {"Seed": ants.SEED, "Threads": step.threads, "Kind": record.kind}
    if record.kind in _LINEAR:
        return StepResult({f"xfm_linear@{record.label}": Output(file=start, sidecar=facts)}, {}, (), (record.kind,))
    assert start is not None
    settings = ants.Syn(resolution, (choice.syn_coarse, choice.syn_middle, choice.syn_fine))
    out = work / "warp.nii.gz"
    extra = [(f, m, choice.magnitude_weight) for f, m in ready[1:] if choice.magnitude_weight > 0]
    ants.syn(fixed, moving, start, out, work, step.threads, settings, extra)
    return StepResult({map_key(record.kind, record.label): Output(file=out, sidecar=facts)}, {}, (), ("syn",))


def _start(step: StepInput[Registration]) -> Path | None:
    """Return the participant's last linear transform, composed with that iteration's update."""
    if "start" not in step.inputs or "update" not in step.inputs:
        return None
    matrix = warps.read_linear(step.inputs["start"]) @ warps.read_linear(step.inputs["update"])
    return warps.write_linear(step.work_dir / "start.txt", matrix)


def average(step: StepInput[Iteration]) -> StepResult:
    """Average all participants through their maps, in their mean shape."""
    record = step.record
    choice = step.settings.template.choice
    registered = [
        subject
        for subject in record.subjects
        if any(f"{name}@{subject.label}" in step.inputs for name in CHANNELS)
        and (record.kind == "start" or f"map@{subject.label}" in step.inputs)
    ]
    if len(registered) < 2:
        raise QsmAppError(f"a template needs two participants at least; {len(registered)} could be registered")
    lost = [f"sub-{subject.label}" for subject in record.subjects if subject not in registered]
    warnings = [f"{record.label} is made without {', '.join(lost)}, who could not be registered"] if lost else []
    channels = record.channels
    update: warps.Map = warps.Linear(np.eye(4))
    moved = 0.0
    if record.kind == "start":
        shape, grid = _first_grid(step, registered, channels[0])
    else:
        shape, grid = read_grid(step.inputs["before"])
    if record.kind not in ("start", "single"):
        head = head_mask(read_image(step.inputs["before"])[0]), grid
        update = template.shape_update((warps.read_map(step.inputs[f"map@{m.label}"]) for m in registered), head)
        moved = float(np.linalg.norm(warps.displacement(shape, grid, [update]), axis=-1)[head[0]].mean())
    outputs, facts = {}, _judged(record, registered, step, shape, grid, update) | {"shape_update_mm": moved}
    for number, name in enumerate(channels):
        data, count = template.mean_image(_seen(step, registered, name, shape, grid, update))
        data = template.sharpen(data, choice.sharpening)
        if number == 0:
            facts |= {"participants": count, "sharpness": template.sharpness(data, choice.resolution)}
        facts_of_image = {"Convergence": {"iteration": record.number, "kind": record.kind, **facts}}
        key = f"template_{name}" if record.is_last else f"iteration_{name}@{record.label}"
        outputs[key] = Output(data, sidecar=facts_of_image, affine=grid)
    if f"xfm_update@{record.label}" in _iteration_keys(record, step.settings):
        assert isinstance(update, warps.Linear)
        path = warps.write_linear(step.work_dir / "update.txt", update.matrix)
        outputs[f"xfm_update@{record.label}"] = Output(file=path)
    return StepResult(outputs, facts, tuple(warnings))


def _own_map(step: StepInput[Iteration], subject: TemplateSubject) -> warps.Map:
    path = step.inputs.get(f"map@{subject.label}")
    if path is not None:
        return warps.read_map(path)
    name = next(name for name in CHANNELS if f"{name}@{subject.label}" in step.inputs)
    move = np.eye(4)
    move[:3, 3] = template.centre_of_mass(*read_image(step.inputs[f"{name}@{subject.label}"]))
    return warps.Linear(move)


def _seen(
    step: StepInput[Iteration],
    subjects: Sequence[TemplateSubject],
    name: str,
    shape: Sequence[int],
    grid: warps.Float64,
    update: warps.Map,
) -> Iterator[warps.Float32]:
    for number, subject in enumerate(subjects):
        data, affine = read_image(step.inputs[f"{name}@{subject.label}"])
        yield warps.resample(data, affine, shape, grid, [update, _own_map(step, subject)])
        if step.progress is not None:
            step.progress(number + 1, len(subjects))


def _first_grid(
    step: StepInput[Iteration], subjects: Sequence[TemplateSubject], name: str
) -> tuple[tuple[int, ...], warps.Float64]:
    extents = []
    for subject in subjects:
        data, affine = read_image(step.inputs[f"{name}@{subject.label}"])
        extents.append(template.extent(head_mask(data), affine, template.centre_of_mass(data, affine)))
    return template.common_grid(extents, step.settings.template.choice.resolution)


def _judged(
    record: Iteration,
    subjects: Sequence[TemplateSubject],
    step: StepInput[Iteration],
    shape: Sequence[int],
    grid: warps.Float64,
    update: warps.Map,
) -> dict[str, object]:
    """Return the overlap of the participants' labels, where all of them have some."""
    counts = template.Labels(shape)
    for subject in subjects:
        path, xfm = (step.inputs.get(f"{what}@{subject.label}") for what in ("labels", "pose"))
        if path is None or xfm is None:
            return {"overlap": None}
        labels, affine = read_image(path)
        maps = [update, _own_map(step, subject), warps.read_map(xfm)]
        counts.add(warps.resample(np.rint(labels).astype(np.int32), affine, shape, grid, maps, order=0))
    return {"overlap": counts.overlap()}


# What each step needs and makes.


def image_key(name: str, record: Iteration) -> str:
    """Return the key of an average."""
    return f"template_{name}" if record.is_last else f"iteration_{name}@{record.label}"


def _iteration_keys(record: Iteration, settings: Settings) -> tuple[str, ...]:
    images = tuple(image_key(name, record) for name in record.channels)
    return (*images, f"xfm_update@{record.label}") if record.kind in ("rigid", "affine") else images


def map_key(kind: str, label: str) -> str:
    """Return the key of the transform that a registration makes; an iteration's deformation is a working file."""
    return f"{'xfm_linear' if kind in _LINEAR else 'xfm_iteration' if kind == 'syn' else 'xfm_warp'}@{label}"


def _iteration_inputs(record: Iteration, settings: Settings) -> dict[str, tuple[Record, str]]:
    inputs: dict[str, tuple[Record, str]] = {}
    for subject in record.subjects:
        for name in record.channels:
            inputs[f"{name}@{subject.label}"] = (subject, f"subject_{name}")
        if record.kind != "start":
            key = map_key(record.kind, record.label)
            inputs[f"map@{subject.label}"] = (record.registration(subject), key)
        run = subject.runs[0]
        labels = [key for key in run.made if key.startswith("dseg_gre@")]
        if labels:
            inputs[f"labels@{subject.label}"] = (run, labels[0])
            inputs[f"pose@{subject.label}"] = (subject, f"xfm_run_to_subject@{label_of(run)}")
    if record.before is not None:
        inputs["before"] = (record.before, image_key(record.channels[-1], record.before))
    return inputs


def _registration_inputs(record: Registration, settings: Settings) -> dict[str, tuple[Record, str]]:
    inputs: dict[str, tuple[Record, str]] = {
        f"moving_{name}": (record.subject, f"subject_{name}")
        for name in CHANNELS
        if name == "magnitude" or record.subject.has_t1w
    }
    if record.target is not None:
        for name in record.target.channels:
            inputs[f"fixed_{name}"] = (record.target, image_key(name, record.target))
    if record.start is not None:
        inputs["start"] = (record.start.registration(record.subject), f"xfm_linear@{record.start.label}")
        inputs["update"] = (record.start, f"xfm_update@{record.start.label}")
    return inputs


REGISTER_STEPS = (
    Step(
        "register",
        "Registration to the template",
        register,
        reads=("template",),
        sources=lambda record, settings: {f"fixed_{name}": path for name, path in record.files},
        collects=_registration_inputs,
        makes=lambda record, settings: (map_key(record.kind, record.label),),
        memory=lambda record, settings: 2_500_000_000,
    ),
)
AVERAGE_STEPS = (
    Step(
        "average",
        "Average of the template",
        average,
        reads=("template",),
        collects=_iteration_inputs,
        makers=REGISTER_STEPS,
        makes=_iteration_keys,
        memory=lambda record, settings: 2_500_000_000,
    ),
)
