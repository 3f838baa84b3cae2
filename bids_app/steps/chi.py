"""Total field to susceptibility."""

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives.files import read_image, read_mask
from bids_app.qsm.geometry import hz_to_ppm, ppm_to_hz
from bids_app.steps.common import echo_files, grid_of, memory
from bids_app.steps.masks import mask_keys
from bids_app.steps.step import Output, Progress, Step, StepInput, StepResult


def _passes(step: StepInput) -> list[Any]:
    """Return the masks to invert in."""
    scope = "mask_processing" if "mask_processing" in step.inputs else "mask_brain"
    return [read_mask(step.inputs[key]) for key in (scope, "mask_reliable") if key in step.inputs]


class _Iterations:
    """Passes progress on and keeps the iterations of each pass (or echo) of a method that iterates."""

    def __init__(self, progress: Progress | None, params: Any) -> None:
        self._progress = progress
        self._iterates = hasattr(params, "iterations")  # V-SHARP, say, counts radii
        self._done: list[int] = []

    def start(self) -> Progress:
        """Return the callback of a solver that starts now."""
        self._done.append(0)
        return self._count

    def _count(self, done: int, total: int) -> None:
        self._done[-1] = done
        if self._progress is not None:
            self._progress(done, total)

    def facts(self, name: str) -> dict[str, int]:
        """Return the most iterations of any pass, or nothing where the method does not iterate."""
        return {name: max(self._done)} if self._iterates and self._done else {}


def _inside(step: StepInput, local: Any, valid: Any, chi: Any) -> tuple[Any, Any, Any]:
    """Cut local field, valid mask and map to the object mask where more was processed."""
    if "mask_processing" not in step.inputs:
        return local, valid, chi
    mask = read_mask(step.inputs["mask_brain"])
    return None if local is None else local * mask, valid & mask, chi * mask


def local_field_and_chi(step: StepInput) -> StepResult:
    """Remove the background field and invert, in one pass or two; the reference step sets the zero of the scale."""
    from bids_app import qsm
    from bids_app.qsm.combine import two_pass
    from bids_app.qsm.reliability import reliability_weights, without_unknown_rim

    run, settings = step.record, step.settings
    background, inversion = settings.background, settings.inversion
    field_hz, _ = read_image(step.inputs["total_field"])
    grid = grid_of(run, field_hz.shape)
    total = hz_to_ppm(field_hz, run.field_strength)
    magnitude, _ = read_image(step.inputs["magnitude"])
    sd, residual = read_image(step.inputs["field_sd"])[0], read_image(step.inputs["residual"])[0]
    passes = []
    chosen: dict[str, Any] = {}
    removing, inverting = (
        _Iterations(step.progress, s.of(s.choice.method) if s.choice.method != "none" else None)
        for s in (background, inversion)
    )
    for mask in _passes(step):
        weights = reliability_weights(sd, mask, residual)
        name = background.choice.method
        if name == "none":
            local, valid = None, without_unknown_rim(mask, weights)
        else:
            local, valid = qsm.BACKGROUND[name](
                total, mask, grid, params=background.of(name), weights=weights, progress=removing.start()
            )  # fmt: skip
        name = inversion.choice.method
        if inversion.choice.per_echo:
            chi = _each_echo(step, valid, grid, inverting)
        else:
            chi = qsm.INVERSIONS[name](
                total if local is None else local, valid, grid, params=inversion.of(name), weights=weights,
                magnitude=magnitude, progress=inverting.start(), info=chosen,
            )  # fmt: skip
        passes.append(_inside(step, local, valid, chi))
    local, valid, chi = passes[0]
    single, facts, like = chi, {"MagneticFieldStrength": run.field_strength}, step.inputs["total_field"]
    if len(passes) > 1:
        chi = two_pass(passes[1][2], passes[1][1], chi, valid)
        valid = valid | passes[1][1]
    outputs = {
        "chi_inverted": Output(chi, like),
        "mask_qsm": Output(valid, like),
    }
    if local is not None:
        outputs["local_field"] = Output(ppm_to_hz(local, run.field_strength), like, facts)
        outputs["local_field_magnitude"] = Output(magnitude, like)
    if len(passes) > 1:
        outputs["chi_inverted_singlepass"] = Output(single, like)
        outputs["mask_singlepass"] = Output(passes[0][1], like)
    methods = tuple(m for m in (background.choice.method, inversion.choice.method) if m != "none")
    metrics = {"qsm_voxels": int(valid.sum())} | {f"inversion_{key}": value for key, value in chosen.items()}
    metrics |= inverting.facts("inversion_iterations") | removing.facts("background_iterations")
    return StepResult(outputs, metrics, (), methods)


def _each_echo(step: StepInput, mask: Any, grid: Any, inverting: _Iterations) -> Any:
    """Invert each echo's wrapped phase; return the maps' mean, weighted by (magnitude x echo time)^2."""
    from bids_app import qsm

    run, choice = step.record, step.settings.inversion.choice
    stored = np.load(step.inputs["echo_phase"], mmap_mode="r")
    total, norm = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for echo, integers in zip(run.echoes, stored, strict=True):
        phase = np.multiply(integers, np.float32(np.pi / 32767), dtype=np.float32)
        chi = qsm.INVERSIONS[choice.method](
            phase, mask, grid, params=step.settings.inversion.of(choice.method), echo_time=echo.echo_time,
            field_strength=run.field_strength, progress=inverting.start(),
        )  # fmt: skip
        weight = np.square(_magnitude(step, echo.number, grid.shape) * np.float32(echo.echo_time))
        total += weight * chi
        norm += weight
    return np.divide(total, norm, out=np.zeros_like(total), where=norm > 0)


def _magnitude(step: StepInput, number: int, shape: tuple[int, ...]) -> Any:
    """Return an echo's magnitude, of real and imaginary part where these are stored, or ones."""
    if (path := step.inputs.get(f"magnitude{number}")) is not None:
        return np.nan_to_num(read_image(path)[0])
    real, imag = (step.inputs.get(f"{part}{number}") for part in ("real", "imag"))
    if real is None or imag is None:
        return np.ones(shape, np.float32)
    return np.nan_to_num(np.hypot(read_image(real)[0], read_image(imag)[0]))


def _chi_sources(run: GreRun, settings: Any) -> dict[str, Path]:
    """Return the images that weigh the echoes."""
    if not settings.inversion.choice.per_echo:
        return {}
    return {name: path for name, path in echo_files(run).items() if not name.startswith("phase")}


def _chi_needs(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("total_field", "field_sd", "residual", "magnitude", *mask_keys(run, settings))
    return (*keys, "echo_phase") if settings.inversion.choice.per_echo else keys


def _chi_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("chi_inverted", "mask_qsm")
    if settings.background.choice.method != "none":
        keys += ("local_field", "local_field_magnitude")
    return (*keys, "chi_inverted_singlepass", "mask_singlepass") if settings.mask.choice.two_pass else keys


CHI = Step(
    "chi", "Local field and susceptibility", local_field_and_chi, reads=("background", "inversion"),
    sources=_chi_sources, needs=_chi_needs, makes=_chi_keys, memory=memory(40),
)  # fmt: skip
