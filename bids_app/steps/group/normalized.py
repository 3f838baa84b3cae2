"""Steps in the space of the template: every run's maps, interpolated once, and averages over participants."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.adapters.labels import Region, from_rows, lookup_rows
from bids_app.derivatives.files import read_grid, read_image
from bids_app.errors import QsmAppError
from bids_app.group import tables, template, warps
from bids_app.group.values import Values, in_mask
from bids_app.model.records import Record
from bids_app.model.settings import Settings
from bids_app.model.step import LOOKUP, Output, Step, StepInput, StepResult
from bids_app.model.template import CHANNELS, NormalizedRun, Space
from bids_app.steps.group.template import image_key, map_key
from bids_app.steps.group.template_subject import label_of

#: Maps that come along: key, and whether it is valid in the mask of the susceptibility map alone.
_MAPS = (
    ("chimap", True),
    ("r2star", True),
    ("chi_paramagnetic", True),
    ("chi_diamagnetic", True),
    ("magnitude", False),
)
#: Those that some runs do not have, and that are averaged where they are there.
OPTIONAL_MAPS = ("r2star", "chi_paramagnetic", "chi_diamagnetic")


def to_template(step: StepInput[NormalizedRun]) -> StepResult:
    """Bring a run's maps to the template: all maps of space composed, one linear interpolation."""
    record = step.record
    if record.standard_space is not None and "standard_space" not in step.inputs:
        raise QsmAppError(f"the template has not been registered to {record.standard_space.target}")
    shape, grid = read_grid(step.inputs["grid"])
    maps = _chain(step, "")
    mask, affine = read_image(step.inputs["mask_qsm"])
    inside = warps.resample((mask > 0).astype(np.float32), affine, shape, grid, maps)
    facts = {"SpatialReference": f"tpl-{record.template}", "Interpolation": "linear, once"}
    outputs = {f"space_mask@{record.template}": Output(inside > 0.5, affine=grid, sidecar=facts)}
    for key, masked in _MAPS:
        if key not in step.inputs:
            continue
        data, source_affine = read_image(step.inputs[key])
        if masked:
            # Voxels outside the mask have no value: the others share their weight.
            weighted = warps.resample(np.where(mask > 0, np.nan_to_num(data), 0), source_affine, shape, grid, maps)
            moved = np.where(inside > 0.5, weighted / np.maximum(inside, 0.5), 0).astype(np.float32)
        else:
            moved = warps.resample(np.nan_to_num(data), source_affine, shape, grid, maps)
        outputs[f"space_{key}@{record.template}"] = Output(moved, affine=grid, sidecar=facts)
    return StepResult(outputs, {"valid_voxels": int((inside > 0.5).sum())})


def _chain(step: StepInput[object], of: str) -> list[warps.Map]:
    standard_space = [warps.read_map(step.inputs["standard_space"])] if "standard_space" in step.inputs else []
    return [*standard_space, warps.read_map(step.inputs[f"{of}warp"]), warps.read_map(step.inputs[f"{of}pose"])]


def averages(step: StepInput[Space]) -> StepResult:
    """Make mean, median, standard deviation and number of the maps, the group's mask and its segmentations."""
    record = step.record
    reference = next(iter(path for name, path in step.inputs.items() if name.startswith("mask@")), None)
    if reference is None:
        raise QsmAppError("no run could be brought to the template")
    shape, grid = read_grid(reference)
    outputs: dict[str, Output] = {}
    metrics: dict[str, object] = {}
    mask = np.zeros(shape, bool)
    for key in ("chimap", *OPTIONAL_MAPS):
        if f"mean_{key}" not in _average_keys(record, step.settings):
            continue
        values, counts = _values(step, key, shape), np.zeros(shape, np.int32)
        for _, valid in values.each():
            counts += valid
        people = len(values.people)
        inside = counts * 2 >= people if people else counts > 0
        if key == "chimap":
            mask = inside
            outputs["count_chimap"] = Output(counts, affine=grid)
            outputs["mask_group"] = Output(inside, affine=grid)
            metrics["participants"] = people
        known = inside & (counts > 0)
        for name, flat in values.store(known, step.work_dir / f"{key}.f32").summary().items():
            outputs[f"{name}_{key}"] = Output(in_mask(flat, known), affine=grid, sidecar={"Participants": people})
    for key in record.keys_of("dseg_gre@"):
        fused, rows, overlap = _fused(step, record, key, shape, grid)
        metrics[f"overlap_{key.partition('@')[2]}"] = overlap
        outputs[f"dseg_template@{key.partition('@')[2]}"] = Output(fused, affine=grid, rows=rows)
    lost = [run.basename for run in record.runs if f"mask@{run.basename}" not in step.inputs]
    warnings = (f"the averages are made without {', '.join(lost)}",) if lost else ()
    return StepResult(outputs, metrics | {"mask_voxels": int(mask.sum())}, warnings)


def _values(step: StepInput[Space], key: str, shape: Sequence[int]) -> Values:
    people: dict[str, list[tuple[Path, Path]]] = {}
    for run in step.record.runs:
        names = (f"{key}@{run.basename}", f"mask@{run.basename}")
        if all(name in step.inputs for name in names):
            people.setdefault(run.run.subject, []).append((step.inputs[names[0]], step.inputs[names[1]]))
    return Values(people, tuple(shape))


def _fused(
    step: StepInput[Space], record: Space, key: str, shape: Sequence[int], grid: warps.Float64
) -> tuple[npt.NDArray[np.int32], list[dict[str, object]], float | None]:
    """Return the majority of the participants' labels (their first runs'), its table, and the overlap."""
    counts, regions, seen = template.Labels(shape), dict[int, Region](), set[str]()
    for run in record.runs:
        path = step.inputs.get(f"{key}@{run.basename}")
        if path is None or run.run.subject in seen or f"{run.basename}@warp" not in step.inputs:
            continue
        seen.add(run.run.subject)
        labels, affine = read_image(path)
        maps = _chain(step, f"{run.basename}@")
        counts.add(warps.resample(np.rint(labels).astype(np.int32), affine, shape, grid, maps, order=0))
        regions |= from_rows(
            {k: str(v or "n/a") for k, v in row.items()}
            for row in tables.read_rows(step.inputs[f"{LOOKUP}{key}@{run.basename}"])
        )
    rows = lookup_rows(region for _, region in sorted(regions.items()))
    return counts.majority(), rows, counts.overlap()


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) else None


def convergence(step: StepInput[Space]) -> StepResult:
    """List sharpness, overlap and change of shape of every average."""
    record = step.record
    rows: list[dict[str, object]] = []
    for iteration in record.iterations:
        facts = step.sidecar(f"iteration@{iteration.label}").get("Convergence", {})
        names = ("iteration", "kind", "participants", "sharpness", "overlap", "shape_update_mm")
        number = None if iteration.kind == "single" else iteration.number
        rows.append({"iteration": number, "kind": iteration.kind} | {name: facts.get(name) for name in names[2:]})
    single = next((row for row in rows if row["kind"] == "single"), {})
    of_single = {name: _number(single.get(name)) for name in ("sharpness", "overlap")}
    for row in rows:
        measures = {name: _number(row[name]) for name in of_single}
        sharp, plain = measures["sharpness"], of_single["sharpness"]
        row["sharpness_to_single"] = sharp / plain if sharp and plain else None
        overlap, other = measures["overlap"], of_single["overlap"]
        row["overlap_to_single"] = None if overlap is None or other is None else overlap - other
    return StepResult({"convergence": Output(rows=rows)})


def _space_inputs(record: NormalizedRun, settings: Settings) -> dict[str, tuple[Record, str]]:
    registration, standard_space = record.registration, record.standard_space
    inputs: dict[str, tuple[Record, str]] = {
        key: (record.run, key) for key, _ in _MAPS if key in record.run.made or key == "chimap"
    }
    inputs["mask_qsm"] = (record.run, "mask_qsm")
    inputs |= transforms_of(record, "")
    if standard_space is not None:
        inputs["standard_space"] = (standard_space, f"xfm_template@{standard_space.target}")
    elif not registration.files and registration.target is not None:
        inputs["grid"] = (registration.target, image_key("magnitude", registration.target))
    return inputs


def transforms_of(record: NormalizedRun, of: str) -> dict[str, tuple[Record, str]]:
    """Return the maps from the space to the run, by the names that the steps know them by."""
    registration = record.registration
    return {
        f"{of}warp": (registration, map_key(registration.kind, registration.label)),
        f"{of}pose": (registration.subject, f"xfm_run_to_subject@{label_of(record.run)}"),
    }


def _space_files(record: NormalizedRun, settings: Settings) -> dict[str, Path]:
    files = dict(record.standard_space.space_files if record.standard_space else record.registration.files)
    # The magnitude's, as where the template is built here: what is made of it is not made again.
    return {"grid": next(files[name] for name in reversed(CHANNELS) if name in files)} if files else {}


def _space_keys(record: NormalizedRun, settings: Settings) -> tuple[str, ...]:
    made = [key for key, _ in _MAPS if key in record.run.made or key == "chimap"]
    return tuple(f"space_{key}@{record.template}" for key in (*made, "mask"))


def _average_inputs(record: Space, settings: Settings) -> dict[str, tuple[Record, str]]:
    inputs: dict[str, tuple[Record, str]] = {}
    for run in record.runs:
        optional = [key for key in OPTIONAL_MAPS if key == "r2star" or key in run.run.made]
        for key in ("chimap", *optional, "mask"):
            inputs[f"{key}@{run.basename}"] = (run, f"space_{key}@{record.template}")
        for key in (key for key in run.run.made if key.startswith("dseg_gre@")):
            inputs[f"{key}@{run.basename}"] = (run.run, key)
        inputs |= transforms_of(run, f"{run.basename}@")
    standard_space = record.runs[0].standard_space
    return inputs | (
        {"standard_space": (standard_space, f"xfm_template@{standard_space.target}")} if standard_space else {}
    )


def _iteration_images(record: Space, settings: Settings) -> dict[str, tuple[Record, str]]:
    return {
        f"iteration@{iteration.label}": (iteration, image_key(iteration.channels[0], iteration))
        for iteration in record.iterations
    }


def _average_keys(record: Space, settings: Settings) -> tuple[str, ...]:
    maps = ["chimap", *(key for key in OPTIONAL_MAPS if record.keys_of(key))]
    keys = [f"{name}_{key}" for key in maps for name in ("mean", "median", "sd")]
    labels = [f"dseg_template@{key.partition('@')[2]}" for key in record.keys_of("dseg_gre@")]
    return (*keys, "count_chimap", "mask_group", *labels)


SPACE_STEPS = (
    Step(
        "space",
        "Maps in the space of the template",
        to_template,
        sources=_space_files,
        collects=_space_inputs,
        makes=_space_keys,
        memory=lambda record, settings: 1_500_000_000,
    ),
)
AVERAGE_MAP_STEPS = (
    Step(
        "maps",
        "Average maps",
        averages,
        collects=_average_inputs,
        makes=_average_keys,
        memory=lambda record, settings: 2_500_000_000,
    ),
    # A step of its own: a template that is taken as it is leaves the table of its making alone.
    Step(
        "convergence",
        "Convergence of the template",
        convergence,
        collects=_iteration_images,
        sidecars=lambda record, settings: tuple(_iteration_images(record, settings)),
        makes=lambda record, settings: ("convergence",) if record.iterations else (),
    ),
)
