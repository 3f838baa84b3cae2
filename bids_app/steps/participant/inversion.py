"""Local field of each pass to susceptibility: inversion, boundary sources, combination of two passes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_app.derivatives.files import read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import FloatArray
from bids_app.steps.participant.background import (
    background_keys,
    inverts_each_echo,
    local_field_outputs,
    read_pass_masks,
)
from bids_app.steps.participant.common import (
    combined,
    echo_phase,
    grid_image,
    grid_of,
    magnitude_files,
    memory,
    padding_of,
    read_array,
    starts_after_background,
    total_field_ppm,
)
from bids_app.steps.participant.mask import mask_keys, two_pass
from bids_app.steps.participant.null_space_trend import removes_trend

if TYPE_CHECKING:
    from bids_app.qsm import EchoPhase, LocalField


def susceptibility(step: StepInput[GreRun]) -> StepResult:
    """Invert the field of every pass; the trend's step and the reference's finish the map."""
    from bids_app import qsm

    run, section, like = step.record, step.settings.inversion, step.inputs["magnitude"]
    total = total_field_ppm(step) if "total_field" in step.inputs else np.load(step.inputs["pass_field"])[0]
    maps = qsm.susceptibility(
        _local_field(step, total),
        grid_of(run, total.shape),
        magnitude=read_array(step.inputs["magnitude"]),
        echoes=_echoes(step, total),
        inside=read_mask(step.inputs["mask_brain"]) if "mask_processing" in step.inputs else None,
        options=replace(section.choice, per_echo=inverts_each_echo(run, step.settings)),
        parameters=section.methods,
        progress=step.progress,
    )
    keys = _map_keys(run, step.settings, "mask_reliable" in step.inputs)
    arrays = {"chi": maps.chi, "chi_singlepass": maps.single_chi, "mask_singlepass": maps.single_mask}
    outputs = {keys[name]: Output(data, like) for name, data in arrays.items() if name in keys}
    outputs["mask_qsm"] = Output(maps.mask, like)
    if maps.local_field is not None:
        outputs |= local_field_outputs(step, maps.local_field, keys["local_field"])
    metrics: dict[str, object] = {"qsm_voxels": int(np.count_nonzero(maps.mask))}
    metrics |= {f"inversion_{name}": value for name, value in maps.info.items()}
    if maps.iterations is not None:
        metrics["inversion_iterations"] = maps.iterations
    return StepResult(outputs, metrics, maps.warnings, maps.methods)


def _echoes(step: StepInput[GreRun], total: FloatArray) -> "EchoPhase | None":
    """Return the phase of every echo where each is inverted by itself."""
    if not inverts_each_echo(step.record, step.settings):
        return None
    return echo_phase(step, total, counted=step.settings.field.choice.unwrap == "romeo")


def _local_field(step: StepInput[GreRun], total: FloatArray) -> "LocalField":
    """Return what the step of background removal has made."""
    from bids_app import qsm
    from bids_app.qsm.pipeline.background import field_weights

    masks, files = read_pass_masks(step), step.inputs
    valid = list(np.load(files["pass_mask"]) > 0)
    fields = list(np.load(files["pass_field"])) if "pass_field" in files else []
    domains = list(np.load(files["pass_domain"]) > 0) if "pass_domain" in files else masks
    sources = read_mask(files["mask_boundary_sources"]) if "pass_domain" in files else np.zeros_like(masks[0])
    weights = field_weights(read_array(files["field_sd"]), read_array(files["residual"]), masks)
    each, many = len(fields) // len(masks), len(valid) // len(masks)
    passes = tuple(
        qsm.Pass(
            mask,
            domains[place],
            tuple(fields[place * each : (place + 1) * each]),
            tuple(valid[place * many : (place + 1) * many]),
            weights[place],
        )
        for place, mask in enumerate(masks)
    )
    corrected = read_array(files["corrected_field"]) if "corrected_field" in files else total
    return qsm.LocalField(passes, corrected, sources)


def _sources(run: GreRun, settings: Settings) -> dict[str, Path]:
    """Return the images that weigh the echoes."""
    return magnitude_files(run) if inverts_each_echo(run, settings) else {}


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("field_sd", "residual", "magnitude", *mask_keys(run, settings))
    keys += background_keys(run, settings)
    if not starts_after_background(run):
        keys += ("total_field",)
    return (*keys, "phase", *combined(run)[1:]) if inverts_each_echo(run, settings) else keys


def _map_keys(run: GreRun, settings: Settings, has_two_passes: bool) -> dict[str, str]:
    """Return the products' keys of map, local field and what the first of two passes gives."""
    removes = removes_trend(run, settings)
    keys = {"chi": "chi_with_trend" if removes else "chi_unreferenced"}
    if settings.background.choice.method != "none":
        keys["local_field"] = "local_field_with_trend" if removes else "local_field"
    if has_two_passes:
        keys["chi_singlepass"] = f"{keys['chi']}_singlepass"
        keys["mask_singlepass"] = "mask_singlepass"
    return keys


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys = (*_map_keys(run, settings, two_pass(run, settings)).values(), "mask_qsm")
    return (*keys, "local_field_magnitude") if "local_field" in keys else keys


INVERSION = Step(
    "inversion",
    "Inversion",
    susceptibility,
    reads=("field", "background", "inversion"),
    sources=_sources,
    headers=grid_image,
    needs=_needs,
    makes=_makes,
    memory=memory(40, padding=lambda settings: padding_of(settings.inversion)),
)
