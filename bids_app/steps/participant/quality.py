"""Metrics for quality control of a run: computed of what the other steps made, never a reason to remove anything."""

import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from bids_app.derivatives import quality
from bids_app.derivatives.files import read_image, read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid, bounding_box
from bids_app.qsm.units import ppm_per_hz
from bids_app.steps.participant.background import has_local_field
from bids_app.steps.participant.common import field_strength, grid_image, grid_of, memory, true_grid_of
from bids_app.steps.participant.r2prime import R2PRIME
from bids_app.steps.participant.registration import REGISTRATION
from bids_app.steps.participant.separation import SEPARATION

#: Images that are read meanwhile, by the key of the product: values and affine.
Parts = Mapping[str, Future[tuple[FloatArray, npt.NDArray[np.float64]]]]
_TRANSFORMS = ("xfm_t1w_to_gre", "xfm_t1w_to_gre_warp")
#: Metrics that the sidecars of these products hold, and their fields there.
_SEPARATION_FACTS = {
    "r2prime": {
        "r2prime_negative_share": "NegativeShare",
        "r2prime_gradient_share": "FieldGradientShare",
        "r2prime_valid_fraction": "ValidFraction",
    },
    "separation_residual": {"separation_residual": "RelativeResidual"},
}


def measured_metrics(step: StepInput[GreRun]) -> StepResult:
    """Measure, compare with the expected ranges, and report what is outside."""
    run, choice = step.record, step.settings.qc.choice
    bounds: dict[str, float] = {name: value for name, value in vars(choice).items() if isinstance(value, int | float)}
    echoes = step.inputs.get("echo_quality")  # none where the run starts from a map of another dataset
    values: dict[str, float | None] = json.loads(echoes.read_text(encoding="utf-8")) if echoes else {}
    values |= _measured(step)
    values["registration_similarity"] = _similarity(step)
    values |= _separation(step)
    known = quality.metrics_of(len(run.echoes))
    bounds["volume_min"] *= values.pop("seen_part") or 0.0  # a slab cannot hold a whole brain
    described = {name: metric.describe(_plain(values.get(name)), bounds) for name, metric in known.items()}
    flags = [name for name, metric in described.items() if metric["flag"]]
    content = {
        "Description": "Metrics of quality control; expected: lowest and highest value, null where there is no bound",
        "run": run.basename,
        "flags": flags,
        "numbers": described,
    }
    metrics: dict[str, object] = {name: metric["value"] for name, metric in described.items()}
    warnings = tuple(quality.sentence(name, described[name]) for name in flags)
    return StepResult({"qc": Output(sidecar=content)}, metrics | {"flags": flags}, warnings)


def _measured(step: StepInput[GreRun]) -> dict[str, float | None]:
    """Return the metrics of field, masks and map; what is measured next is read meanwhile, inside the object's box."""
    with ThreadPoolExecutor(max(1, min(2, step.threads))) as pool:
        masks = pool.map(lambda name: read_mask(step.inputs[name]), ("mask_brain", "mask_qsm"))
        mask, valid = masks
        grid = grid_of(step.record, mask.shape)
        true = true_grid_of(step.record, mask.shape)
        either = mask | valid
        box = bounding_box(either) if either.any() else (slice(None),) * 3
        names = ("local_field", "field_sd", "residual", "chi_unreferenced", "wraps")
        parts = {name: pool.submit(read_image, step.inputs[name], box) for name in names if name in step.inputs}
        mask, valid = mask[box], valid[box]
        small = Grid(mask.shape, grid.voxel_size, grid.b0_dir)
        values = _field(parts, mask, field_strength(step.record)) if "wraps" in parts else {}
        values |= _maps(parts, mask, valid, small)
        return values | _shape(mask, true)


def _shape(mask: BoolArray, grid: Grid) -> dict[str, float | None]:
    """Return the metrics of the brain mask's shape; the grid is that of the whole field of view."""
    from bids_app.qsm.quality.masks import mask_shape, seen_part

    shape = mask_shape(mask, grid.voxel_size)
    return {
        "mask_volume": shape.volume_ml,
        "mask_pieces": shape.pieces,
        "mask_roughness": shape.roughness,
        "seen_part": seen_part(grid.shape, grid.voxel_size),
    }


def _field(parts: Parts, mask: BoolArray, tesla: float) -> dict[str, float | None]:
    """Return the metrics of the field fit and of unwrapping inside the mask."""
    from bids_app.qsm.quality.maps import field_quality

    fit = field_quality(parts["field_sd"].result()[0], parts["residual"].result()[0], mask)
    wraps = int(parts["wraps"].result()[0][mask].sum(dtype=np.int64))
    pairs = sum(int(np.count_nonzero(a & b)) for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])))
    pairs += int(np.count_nonzero(mask[..., 1:] & mask[..., :-1]))
    return {
        "unreliable_fraction": fit.unreliable_fraction,
        "field_error": None if fit.error_hz is None else fit.error_hz * ppm_per_hz(tesla),
        "field_residual": fit.residual_rad,
        "residual_correlation": fit.residual_correlation,
        "residual_wraps": wraps,
        "residual_wraps_fraction": wraps / pairs if pairs else None,
    }


def _maps(parts: Parts, mask: BoolArray, valid: BoolArray, grid: Grid) -> dict[str, float | None]:
    """Return the metrics of the local field and the susceptibility map."""
    from bids_app.qsm.quality.maps import boundary_ratio, robust_sd, streak_ratio

    if not valid.any():
        return {"valid_fraction": 0.0}
    chi = parts["chi_unreferenced"].result()[0]
    values: dict[str, float | None] = {
        "valid_fraction": np.count_nonzero(valid & mask) / np.count_nonzero(mask),
        "chi_spread": robust_sd(chi[valid]),
        "streak_ratio": streak_ratio(chi, valid, grid),
    }
    if "local_field" in parts:
        values["boundary_ratio"] = boundary_ratio(parts["local_field"].result()[0], valid, grid)
    return values


def _similarity(step: StepInput[GreRun]) -> float | None:
    """Return what the registration of the T1w image has measured."""
    for key in _TRANSFORMS:
        if key in step.inputs:
            return float(step.sidecar(key)["Similarity"]["mutual_information"])
    return None


def _separation(step: StepInput[GreRun]) -> dict[str, float | None]:
    """Return what R2' and the source separation have measured, of the maps that are there."""
    values: dict[str, float | None] = {}
    for key, facts in _SEPARATION_FACTS.items():
        if key in step.inputs:
            content = step.sidecar(key)
            values |= {name: content.get(fact) for name, fact in facts.items()}
    return values


def _plain(value: float | None) -> float | None:
    """Return a number as JSON knows it, with six digits: more are noise."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("mask_brain", "mask_qsm", "chi_unreferenced")
    if run.starts_from_phase:
        keys += ("echo_quality", "wraps", "field_sd", "residual")
    if has_local_field(run, settings):
        keys += ("local_field",)
    return keys + _described(run, settings)


def _described(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products whose sidecars hold metrics of quality control."""
    made = (*REGISTRATION.makes(run, settings), *R2PRIME.makes(run, settings), *SEPARATION.makes(run, settings))
    return tuple(key for key in made if key in _TRANSFORMS or key in _SEPARATION_FACTS)


QUALITY = Step(
    "qc",
    "Quality control",
    measured_metrics,
    reads=("qc",),
    headers=grid_image,
    needs=_needs,
    sidecars=_described,
    makes=lambda run, settings: ("qc",),
    memory=memory(20),
)
