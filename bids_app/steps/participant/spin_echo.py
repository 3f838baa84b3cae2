"""R2 and T2 from multi-echo spin echoes (MESE), on the grid of the gradient echoes."""

from pathlib import Path

import numpy as np

from bids_app.adapters import ants
from bids_app.adapters.images import from_ras, write_ras
from bids_app.adapters.quality import head_mask
from bids_app.derivatives.files import read_grid, read_image, write_image
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.steps.participant.anatomy import corrected, judged
from bids_app.steps.participant.common import memory, stack_images

#: Products on the grid of the gradient echoes.
MAPS = ("r2", "t2", "r2_sd")


def spin_echo_r2(step: StepInput[GreRun]) -> StepResult:
    """Fit R2 on the grid of the spin echoes, register these to the magnitude, and bring R2 there: one interpolation."""
    from bids_app import qsm
    from bids_app.qsm.relaxometry import noise_level

    run, section, like = step.record, step.settings.separation, step.inputs["magnitude"]
    paths = [echo.magnitude for echo in run.spin_echo if echo.magnitude is not None]
    echoes = np.nan_to_num(stack_images(paths))
    affine = read_grid(paths[0])[1]
    grid = Grid.from_affine(echoes.shape[1:], affine)
    inside, name = _object(echoes), section.choice.r2
    method = qsm.SPIN_ECHO[name]
    noise = noise_level(echoes[-1], ~inside)
    fit = method(echoes, run.spin_echo_times, inside, grid, params=section.of(name), noise=noise)
    transform, similarity, warnings = _registered(step, echoes, affine)
    maps = {"r2": fit.r2, "r2_sd": fit.r2_sd}
    moved = {key: _on_run(step, data, affine, transform, key) for key, data in maps.items()}
    share = _on_run(step, inside.astype(np.float32), affine, transform, "inside")
    # Near the edge of the fit, its zeros are mixed into the interpolated value.
    known = (share > 0.99) & (moved["r2"] > 0)
    r2 = np.where(known, moved["r2"], np.float32(0))
    t2 = np.divide(np.float32(1), r2, out=np.zeros_like(r2), where=known)
    facts: dict[str, object] = {"EchoTimes": list(run.spin_echo_times), "Method": name, "Interpolation": "linear, once"}
    facts["RefocusingAngleMedian"] = round(float(np.median(fit.angle[inside])), 2) if inside.any() else None
    arrays = {"r2": r2, "t2": t2, "r2_sd": np.where(known, moved["r2_sd"], np.float32(0))}
    outputs = {key: Output(arrays[key], like, facts) for key in MAPS}
    outputs["xfm_mese_to_gre"] = Output(file=transform, sidecar={"Similarity": similarity, "Seed": ants.SEED})
    metrics = {"noise": noise, "similarity": similarity, "refocusing_angle": facts["RefocusingAngleMedian"]}
    return StepResult(outputs, metrics, warnings, (name, "n4", "mese_to_gre"))


def _object(echoes: FloatArray) -> BoolArray:
    """Return the head in the spin echoes."""
    mean = echoes.mean(axis=0, dtype=np.float32)
    inside = head_mask(mean)
    return inside if inside.any() else mean > 0


def _registered(
    step: StepInput[GreRun], echoes: FloatArray, affine: np.ndarray
) -> tuple[Path, object, tuple[str, ...]]:
    """Return the rigid transform of the spin echoes to the magnitude, what was measured of it, and warnings."""
    work = step.work_dir
    fixed, moving, plain = (
        corrected(step.inputs["magnitude"], work, step.threads, "gre"),
        work / "mese.nii.gz",
        (work / "mese_stored.nii.gz"),
    )
    write_image(plain, echoes[: max(len(echoes) // 2, 1)].mean(axis=0), affine, "float32")
    write_ras(plain, moving)
    out = work / "mese_to_gre.txt"
    resolution = step.settings.registration.choice.resolution
    ants.linear(fixed, moving, out, work, ants.Linear("rigid", resolution, "headers"))
    metrics, warnings = judged(fixed, moving, [out], step, ("the gradient-echo magnitude", "the spin echoes (MESE)"))
    return out, metrics, tuple(warnings)


def _on_run(step: StepInput[GreRun], data: FloatArray, affine: np.ndarray, transform: Path, name: str) -> FloatArray:
    """Return a map of the spin echoes' grid on the run's grid."""
    work, like = step.work_dir, step.inputs["magnitude"]
    stored, source, target, out = (work / f"{name}_{what}.nii.gz" for what in ("stored", "ras", "target", "moved"))
    write_image(stored, data, affine, "float32")
    write_ras(stored, source)
    write_ras(like, target)
    ants.apply(target, source, [transform], out, work, step.threads)
    return np.ascontiguousarray(from_ras(read_image(out)[0], read_grid(like)[1]), np.float32)


def _files(run: GreRun, settings: Settings) -> dict[str, Path]:
    return {f"mese{echo.number}": echo.magnitude for echo in run.spin_echo if echo.magnitude is not None}


def spin_echo_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products that the run's spin echoes give."""
    wanted = bool(run.spin_echo) and settings.separation.choice.r2 != "none"
    return (*MAPS, "xfm_mese_to_gre") if wanted else ()


def has_r2(run: GreRun, settings: Settings) -> bool:
    """Return whether the run has a map of R2: its own, or that of another dataset."""
    return run.given("r2") is not None or bool(spin_echo_keys(run, settings))


SPIN_ECHO = Step(
    "spin-echo",
    "R2 and T2 of spin echoes",
    spin_echo_r2,
    reads=("separation", "registration"),
    sources=_files,
    needs=lambda run, settings: ("magnitude",),
    makes=spin_echo_keys,
    memory=memory(40, programs=1_000_000_000),
)
