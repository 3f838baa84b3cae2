"""Steps that bring the anatomy to a gradient-echo run: its T1-weighted image, or the atlas where there is none."""

from pathlib import Path

import numpy as np

from bids_app.adapters import ants
from bids_app.adapters.images import from_ras, write_ras
from bids_app.derivatives.files import read_grid, read_image, write_image
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.steps.participant.anatomy import atlas_files, corrected, deform_atlas, judged
from bids_app.steps.participant.common import (
    combined,
    grid_image,
    grid_of,
    has_magnitude,
    like_of,
    load_magnitude,
    memory,
    single_files,
)
from bids_app.steps.participant.segmentations import is_wanted, segmentations, the_atlas

#: Percentile of the extrapolated magnitude at which it is cut.
_BRIGHTEST = 99.5
#: What the atlas is registered to, as the transform's sidecar says it.
_IMAGES = {"undecayed": "magnitude at echo time 0", "gre": "magnitude of all echoes"}


def t1w_to_gre(step: StepInput[GreRun]) -> StepResult:
    """Register the T1-weighted image to the bias-corrected magnitude of the run."""
    choice, work, like = step.settings.registration.choice, step.work_dir, step.inputs["magnitude"]
    fixed = corrected(like, work, step.threads, "gre")
    moving = work / "t1w_ras.nii.gz"
    write_ras(step.inputs["t1w_preproc"], moving)
    kind = "rigid" if choice.t1w_to_gre == "rigid" else "affine"
    names = ("the gradient-echo magnitude", "the T1w image")
    tried = []
    for start in ("headers", "centres"):
        out = work / f"{start}.txt"
        ants.linear(fixed, moving, out, work, ants.Linear(kind, choice.resolution, start))
        metrics, warnings = judged(fixed, moving, [out], step, names)
        tried.append((metrics["mutual_information"], start, out, metrics, warnings))
        if not warnings:
            break  # the scanner's coordinates were right, as they are within a session
    _, start, out, metrics, warnings = max(tried, key=lambda item: item[0])
    key, methods = "xfm_t1w_to_gre", ["n4", kind]
    if choice.t1w_to_gre == "syn":
        key, warp = "xfm_t1w_to_gre_warp", work / "warp.nii.gz"
        iterations = (choice.syn_coarse, choice.syn_middle, choice.syn_fine)
        settings = ants.Syn(choice.syn_resolution, iterations, "mattes")
        ants.syn(fixed, moving, out, warp, work, step.threads, settings)
        metrics, warnings = judged(fixed, moving, [warp], step, names)
        out, methods = warp, [*methods, "syn"]
    if len(tried) > 1:  # what was judged last need not be the best
        ants.apply(fixed, moving, [out], work / "moved.nii.gz", work, step.threads)
    moved = from_ras(read_image(work / "moved.nii.gz")[0], read_grid(like)[1])
    facts = {"Similarity": metrics, "StartedFrom": start, "Seed": ants.SEED, "Threads": step.threads}
    outputs = {key: Output(file=out, sidecar=facts), "t1w_on_gre": Output(moved, like)}
    return StepResult(outputs, metrics | {"started_from": start}, tuple(warnings), tuple(methods))


def atlas_to_gre(step: StepInput[GreRun]) -> StepResult:
    """Register the atlas to the bias-corrected magnitude directly: there is no T1-weighted image."""
    images = [("gre", step.inputs["magnitude"])]
    if _decays(step.record):
        images.append(("undecayed", without_decay(step)))
    fixed, *others = (corrected(path, step.work_dir, step.threads, name) for name, path in images)
    key = next(key for key in step.inputs if key.startswith("template@"))
    name = key.partition("@")[2]
    names = ("the gradient-echo magnitude", f"the atlas {name}")
    warp, metrics, warnings = deform_atlas(step.inputs[key], fixed, step, names, others)
    sentences = f"no T1w image: the atlas {name} was registered to the gradient-echo magnitude, which is less exact"
    facts = {
        "Similarity": metrics,
        "RegisteredTo": [_IMAGES[image] for image, _ in images],
        "Seed": ants.SEED,
        "Threads": step.threads,
    }
    outputs = {f"xfm_atlas_to_gre@{name}": Output(file=warp, sidecar=facts)}
    how = "atlas_to_all" if others else "atlas_to_magnitude"
    return StepResult(outputs, metrics | {"atlas": name}, (sentences, *warnings), ("n4", how, "syn"))


def _decays(run: GreRun) -> bool:
    """Whether the echoes determine the magnitude at echo time 0."""
    return len(run.echo_times) > 1 and has_magnitude(run)


def without_decay(step: StepInput[GreRun]) -> Path:
    """Write the magnitude at echo time 0 of the object (0 around it) and return its path.

    A template's T1w image knows nothing of R2*: in late echoes iron darkens putamen and pallidum, and the border that
    they have with white matter in it is lost or turned. The magnitude of all echoes shows small nuclei that are hardly
    seen without R2*, so that the atlas goes to both. In a simulated head (1.5 mm) the pallidum's overlap was 0.65 with
    the magnitude of all echoes, 0.89 with this one and 0.93 with both, the red nucleus's 0.69, 0.64 and 0.87. With
    skull and scalp in this image too, which have no likeness at all, it was 0.87 and 0.60.
    """
    from bids_app.qsm.relaxometry.decay import noise_level
    from bids_app.qsm.relaxometry.loglinear import r2star_loglinear

    sd = read_image(step.inputs["field_sd"])[0]
    magnitude, inside = np.nan_to_num(load_magnitude(step)), _object(step, sd)
    noise = noise_level(magnitude[-1], ~(sd > 0))
    signal = r2star_loglinear(magnitude, step.record.echo_times, inside, noise=noise).s0
    # Where the signal is gone before the first echo, what is extrapolated has no bound.
    top = np.percentile(signal[inside], _BRIGHTEST) if inside.any() else 0.0
    out = step.work_dir / "echo_time_0.nii.gz"
    write_image(out, np.minimum(signal, top), read_grid(step.inputs["magnitude"])[1], "float32")
    return out


def _object(step: StepInput[GreRun], sd: FloatArray) -> BoolArray:
    """Return the object by phase quality alone: the run's own mask may want the atlas that is to be brought here."""
    from bids_app.qsm.field.reliability import reliability_weights
    from bids_app.qsm.mask.make import make_mask
    from bids_app.qsm.mask.recipe import OBJECT_RECIPE

    known = sd > 0  # elsewhere there is no signal and no field
    quality, residual = (read_image(step.inputs[key])[0] for key in ("quality", "residual"))
    reliability = reliability_weights(sd, known, residual)
    voxel_size = grid_of(step.record, sd.shape).voxel_size
    return make_mask(OBJECT_RECIPE, quality=quality, reliability=reliability, voxel_size=voxel_size) & known


def registered(run: GreRun, settings: Settings) -> bool:
    """Whether something of the T1w image's space has to come to the run."""
    if run.t1w is None:
        return False
    if run.given_mask is not None and run.given_mask.space == "t1w":
        return True
    if not is_wanted(settings):
        return False
    return any(
        segmentation.image is None or segmentation.kind == "atlas" or not on_grid_of(segmentation.image, like_of(run))
        for segmentation in segmentations(run, settings)
    )


def on_grid_of(image: Path, like: Path) -> bool:
    """Whether two images have the same grid, to a hundredth of a millimetre."""
    (shape, affine), (own_shape, own_affine) = read_grid(image), read_grid(like)
    return tuple(shape) == tuple(own_shape) and np.allclose(affine, own_affine, atol=1e-2)


def xfm_key(settings: Settings) -> str:
    """Return the product that brings the T1w image's space to the run."""
    return "xfm_t1w_to_gre_warp" if settings.registration.choice.t1w_to_gre == "syn" else "xfm_t1w_to_gre"


def _registration_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    return (xfm_key(settings), "t1w_on_gre") if registered(run, settings) else ()


def atlas_to_gre_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the product that brings the atlas to the run itself, where there is no T1w image."""
    source = the_atlas(settings) if run.t1w is None else None
    return (f"xfm_atlas_to_gre@{source.name}",) if source else ()


REGISTRATION = Step(
    "registration",
    "T1w to gradient echo",
    t1w_to_gre,
    reads=("registration",),
    needs=lambda run, settings: ("magnitude",),
    needs_t1w=lambda run, settings: ("t1w_preproc",),
    makes=_registration_keys,
    memory=memory(30, programs=1_500_000_000),
)
ATLAS_TO_GRE = Step(
    "atlas",
    "Atlas to gradient echo",
    atlas_to_gre,
    reads=("registration",),
    sources=lambda run, settings: atlas_files(run, settings) | single_files(run) if run.t1w is None else {},
    headers=grid_image,
    needs=lambda run, settings: ("magnitude", "quality", "field_sd", "residual", *combined(run)),
    makes=atlas_to_gre_keys,
    memory=memory(30, 2, programs=2_000_000_000),
)
