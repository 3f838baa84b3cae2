"""Total field to susceptibility."""

from pathlib import Path
from typing import Any

import numpy as np

from bids_app.derivatives.files import read_image, read_mask
from bids_app.model.records import GreRun
from bids_app.model.step import Output, Progress, Step, StepInput, StepResult
from bids_app.qsm.units import hz_to_ppm, ppm_to_hz
from bids_app.steps.participant.common import combined, echo_magnitude, grid_of, has_magnitude, memory, single_files
from bids_app.steps.participant.mask import mask_keys

#: Alternation above this ratio gives a warning: k-space that ends at the voxel size alone makes up to twice the noise.
_STRONG = 3.0


def _masks(step: StepInput) -> list[Any]:
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


class _Data:
    """The field without its ringing, its weights, and what the solvers tell in each pass."""

    def __init__(self, step: StepInput, masks: list[Any]) -> None:
        from bids_app.qsm.field.reliability import reliability_weights

        run, settings = step.record, step.settings
        field_hz, _ = read_image(step.inputs["total_field"])
        sd, residual = read_image(step.inputs["field_sd"])[0], read_image(step.inputs["residual"])[0]
        measured = hz_to_ppm(field_hz, run.field_strength)
        self.step, self.grid = step, grid_of(run, field_hz.shape)
        self.magnitude, _ = read_image(step.inputs["magnitude"])
        self.weights = [reliability_weights(sd, mask, residual) for mask in masks]
        choice = settings.background.choice
        self.ringing = _alternation(choice.alternation, measured, masks[0], self.weights[0])
        single = choice.transmit_receive_phase == "remove" and len(run.echoes) == 1
        self.transceive = _transceive(single, self.ringing.field, masks[0], self.grid, self.weights[0])
        self.measured, self.total = measured, self.transceive.field
        self.chosen: dict[str, Any] = {}
        self.boundary_sources = np.zeros(field_hz.shape, bool)  # strong ones, inverted apart in any pass
        self.trend_sd = 0.0  # ppm
        self.removing, self.inverting = (
            _Iterations(step.progress, s.of(s.choice.method) if s.choice.method != "none" else None)
            for s in (settings.background, settings.inversion)
        )

    def invert(self, mask: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Return local field (None where the inversion takes the total one), valid mask and map of one pass."""
        rest = self._exclude_boundary_sources(mask, weights)
        each = self.step.settings.inversion.choice.per_echo
        found = _each_echo(self, rest, weights) if each else self.invert_field(self.total, rest, weights)
        return found if rest is mask else self._add_boundary_sources(found, rest, mask, weights)

    def _exclude_boundary_sources(self, mask: Any, weights: Any) -> Any:
        """Return the mask without strong sources at the rim, where they are to be apart and there are some."""
        from bids_app.qsm.background.boundary_sources import exclude_boundary_sources, initial_estimate

        if self.step.settings.background.choice.boundary_sources == "keep":
            return mask
        look, valid = initial_estimate(self.total, mask, self.grid, weights)
        rest = exclude_boundary_sources(look, valid, self.grid)
        apart = valid & ~rest
        self.boundary_sources |= apart
        return rest if apart.any() else mask

    def _add_boundary_sources(self, found: Any, rest: Any, mask: Any, weights: Any) -> tuple[Any, Any, Any]:
        from bids_app.qsm.background.boundary_sources import add_boundary_sources, field_with_boundary_sources

        local, known, chi = found
        chi, valid = add_boundary_sources(chi, known, rest, self.total, mask, self.grid, weights)
        return None if local is None else field_with_boundary_sources(local, known, chi, valid, self.grid), valid, chi

    def invert_field(self, total: Any, mask: Any, weights: Any, **phase: Any) -> tuple[Any, Any, Any]:
        """Return the same for one total field; ``phase``: what a single-step method must know of wrapped phase."""
        from bids_app import qsm

        local, valid = self._local_field(total, mask, weights)
        section = self.step.settings.inversion
        name = section.choice.method
        chi = qsm.INVERSIONS[name](
            total if local is None else local,
            valid,
            self.grid,
            params=section.of(name),
            weights=weights,
            magnitude=self.magnitude,
            progress=self.inverting.start(),
            info=self.chosen,
            **phase,
        )
        return local, valid, chi

    def _local_field(self, total: Any, mask: Any, weights: Any) -> tuple[Any, Any]:
        from bids_app import qsm
        from bids_app.qsm.field.reliability import remove_unreliable_boundary

        section = self.step.settings.background
        name = section.choice.method
        if name == "none":
            return None, remove_unreliable_boundary(mask, weights)
        return qsm.BACKGROUND[name](
            total, mask, self.grid, params=section.of(name), weights=weights, progress=self.removing.start()
        )

    def trend(self, chi: Any, valid: Any) -> Any:
        """Return the map's smooth trend that is to be taken off, or None where it is kept."""
        from bids_app.qsm.inversion.null_space_trend import appearance, null_space_trend

        if not _trend_told(self.step.record, self.step.settings):
            return None
        trend = null_space_trend(chi, valid, self.grid, appearance(self.magnitude, valid, self.grid))
        self.trend_sd = float(trend.std(where=valid, dtype=np.float64))
        return trend

    def metrics(self) -> dict[str, Any]:
        """Return what the methods did, for the record."""
        told = {f"inversion_{key}": value for key, value in self.chosen.items()}
        told |= self.inverting.facts("inversion_iterations") | self.removing.facts("background_iterations")
        if self.step.settings.background.choice.boundary_sources != "keep":
            told["boundary_sources_voxels"] = int(np.count_nonzero(self.boundary_sources))
        if self.step.settings.background.choice.null_space_trend != "keep":
            told["trend_ppm"] = round(self.trend_sd, 5)
        told["ringing"] = [round(v, 3) if np.isfinite(v) else None for v in self.ringing.excess]
        return told | ({"transceive_ppm": self.transceive.removed} if self.transceive.removed else {})

    def methods(self) -> tuple[str, ...]:
        """Return the keys of the methods that ran."""
        settings = self.step.settings
        background, inversion = settings.background.choice.method, settings.inversion.choice
        did = {
            "alternation": bool(self.ringing.axes),
            "transmit_receive_phase": self.transceive.removed > 0,
            background: background != "none",
            inversion.method: True,
            "boundary_sources": bool(self.boundary_sources.any()),
            "per_echo": inversion.per_echo,
            "null_space_trend": self.trend_sd > 0,
        }
        return tuple(name for name, ran in did.items() if ran)


def local_field_and_chi(step: StepInput) -> StepResult:
    """Remove the background field and invert, in one pass or two; the reference step sets the zero of the scale."""
    from bids_app.qsm.inversion.combine import two_pass
    from bids_app.qsm.inversion.null_space_trend import field_of_trend

    masks = _masks(step)
    data, passes = _Data(step, masks), []
    for mask, weights in zip(masks, data.weights, strict=True):
        passes.append(_inside(step, *data.invert(mask, weights)))
    local, valid, chi = passes[0]
    outputs, strength, like = {}, step.record.field_strength, step.inputs["total_field"]
    single, single_valid = chi, valid
    if len(passes) > 1:
        chi = two_pass(passes[1][2], passes[1][1], chi, valid)
        valid = valid | passes[1][1]
    trend = data.trend(chi, valid)
    if data.trend_sd:
        chi, single = chi - trend, single - trend * single_valid
        local = None if local is None else local - field_of_trend(trend, single_valid, data.grid)
    if trend is not None:
        outputs["trend"] = Output(trend, like)
    if step.settings.background.choice.boundary_sources != "keep":
        outputs["mask_boundary_sources"] = Output(data.boundary_sources, like)
    if len(passes) > 1:
        outputs["chi_unreferenced_singlepass"] = Output(single, like)
        outputs["mask_singlepass"] = Output(single_valid, like)
    outputs["chi_unreferenced"] = Output(chi, like)
    outputs["mask_qsm"] = Output(valid, like)
    if local is not None:
        outputs["local_field"] = Output(ppm_to_hz(local, strength), like, {"MagneticFieldStrength": strength})
        outputs["local_field_magnitude"] = Output(data.magnitude, like)
    metrics = {"qsm_voxels": int(valid.sum())} | data.metrics()
    return StepResult(outputs, metrics, _told(data.ringing), data.methods())


def _alternation(choice: str, total: Any, mask: Any, weights: Any) -> Any:
    from bids_app.qsm.field.alternation import Alternation, remove_alternation

    return Alternation(total) if choice == "keep" else remove_alternation(total, mask, weights=weights)


def _transceive(single: bool, total: Any, mask: Any, grid: Any, weights: Any) -> Any:
    from bids_app.qsm.field.transceive import TransceivePhase, remove_transceive_phase

    return remove_transceive_phase(total, mask, grid, weights=weights) if single else TransceivePhase(total, 0.0)


def _told(ringing: Any) -> tuple[str, ...]:
    """Return the sentence for the user where much was taken off the field."""
    axes = ", ".join(f"{'ijk'[a]} ({ringing.excess[a]:.1f} times)" for a in ringing.axes if ringing.excess[a] > _STRONG)
    if not axes:
        return ()
    return (
        f"the field alternates from voxel to voxel along {axes} more than noise or tissue do; that part was taken off "
        "(background.alternation=keep leaves it). Air's edges or k-space cut off at the voxel size make it, or slices "
        "acquired in turn",
    )


def _each_echo(data: _Data, mask: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Invert each echo; return local field (or None), valid mask and map, averaged by (magnitude x echo time)^2.

    ROMEO has counted the turns already: every echo gets those that bring it next to the fitted field. A Laplacian
    method counts none, and a single-step inversion sees the wrapped phase, which says nothing where it turns by more
    than half a turn from voxel to voxel, as in late echoes beside air.
    """
    from bids_app.qsm.inversion.tgv import phase_to_ppm
    from bids_app.qsm.phase.scaling import wrap

    run = data.step.record
    stored = np.load(data.step.inputs["echo_phase"], mmap_mode="r")
    valid = np.zeros(data.grid.shape, bool)
    chi, local, norm = (np.zeros(data.grid.shape, np.float32) for _ in range(3))
    for place, (echo, integers) in enumerate(zip(run.echoes, stored, strict=True)):
        phase = np.multiply(integers, np.float32(np.pi / 32767), dtype=np.float32)
        ppm = np.float32(phase_to_ppm(echo.echo_time, run.field_strength))  # of one radian
        if data.step.settings.field.choice.unwrap == "romeo":
            field, known = data.total + ppm * wrap(phase - data.measured / ppm), {}
        else:
            field = wrap(phase - (data.measured - data.total) / ppm)
            known = {"echo_time": echo.echo_time, "field_strength": run.field_strength}
        one_local, one_valid, one = data.invert_field(field, mask, weights, **known)
        weight = np.square(_magnitude(data.step, place, data.grid.shape) * np.float32(echo.echo_time))
        chi += weight * one
        local += 0 if one_local is None else weight * one_local
        norm += weight
        valid |= one_valid
    for mean in (chi, local):
        np.divide(mean, norm, out=mean, where=norm > 0)
    return None if one_local is None else local, valid, chi


def _magnitude(step: StepInput, place: int, shape: tuple[int, ...]) -> Any:
    """Return an echo's magnitude, or ones."""
    if not has_magnitude(step.record):
        return np.ones(shape, np.float32)
    return np.nan_to_num(echo_magnitude(step, place))


def _chi_sources(run: GreRun, settings: Any) -> dict[str, Path]:
    """Return the images that weigh the echoes."""
    if not settings.inversion.choice.per_echo:
        return {}
    return {name: path for name, path in single_files(run).items() if not name.startswith("phase")}


def _chi_needs(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys = ("total_field", "field_sd", "residual", "magnitude", *mask_keys(run, settings))
    return (*keys, "echo_phase", *combined(run)) if settings.inversion.choice.per_echo else keys


def _trend_told(run: GreRun, settings: Any) -> bool:
    """Whether smooth trends are told by tissue that looks alike; without magnitude it has no look."""
    return settings.background.choice.null_space_trend != "keep" and has_magnitude(run)


def _chi_keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("chi_unreferenced", "mask_qsm")
    if settings.background.choice.method != "none":
        keys += ("local_field", "local_field_magnitude")
    if settings.background.choice.boundary_sources != "keep":
        keys += ("mask_boundary_sources",)
    if _trend_told(run, settings):
        keys += ("trend",)
    return (*keys, "chi_unreferenced_singlepass", "mask_singlepass") if settings.mask.choice.two_pass else keys


CHI = Step(
    "chi",
    "Local field and susceptibility",
    local_field_and_chi,
    reads=("field", "background", "inversion"),
    sources=_chi_sources,
    needs=_chi_needs,
    makes=_chi_keys,
    memory=memory(40),
)
