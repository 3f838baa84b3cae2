"""Numbers for quality control of a run: computed of what the other steps made, never a reason to remove anything."""

import json
from typing import Any

import numpy as np

from bids_app.dataset.models import GreRun
from bids_app.derivatives import quality
from bids_app.derivatives.files import read_image
from bids_app.derivatives.names import sidecar_path
from bids_app.qsm.geometry import ppm_per_hz
from bids_app.steps.common import grid_of, memory
from bids_app.steps.regions import REGISTRATION
from bids_app.steps.step import Output, Step, StepInput, StepResult

_TRANSFORMS = ("xfm_t1w_to_gre", "xfm_t1w_to_gre_warp")


def numbers_of(step: StepInput) -> StepResult:
    """Measure, compare with the usual ranges, and tell what is outside."""
    run, bounds = step.record, step.settings.qc.choice.to_mapping()
    found = json.loads(step.inputs["echo_quality"].read_text(encoding="utf-8"))
    mask = read_image(step.inputs["mask_brain"])[0] > 0
    grid = grid_of(run, mask.shape)
    found |= _field(step, mask, run.field_strength) | _maps(step, mask, grid)
    found["mask_volume"] = np.count_nonzero(mask) * grid.voxel_volume / 1000
    found["registration_similarity"] = _similarity(step)
    known = quality.numbers(len(run.echoes))
    described = {name: number.describe(_plain(found.get(name)), bounds) for name, number in known.items()}
    flags = [name for name, number in described.items() if number["flag"]]
    content = {
        "Description": "Numbers for quality control; usual: lowest and highest usual value, null where there is none",
        "run": run.basename, "flags": flags, "numbers": described,
    }  # fmt: skip
    metrics = {name: number["value"] for name, number in described.items()}
    warnings = tuple(quality.sentence(name, described[name]) for name in flags)
    return StepResult({"qc": Output(sidecar=content)}, metrics | {"flags": flags}, warnings)


def _field(step: StepInput, mask: Any, field_strength: float) -> dict[str, Any]:
    """Return the numbers of the field fit and of unwrapping inside the mask."""
    from bids_app.qsm.quality_maps import field_quality

    fit = field_quality(read_image(step.inputs["field_sd"])[0], read_image(step.inputs["residual"])[0], mask)
    wraps = int(np.load(step.inputs["wraps"], mmap_mode="r")[mask].sum(dtype=np.int64))
    pairs = sum(int(np.count_nonzero(a & b)) for a, b in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])))
    pairs += int(np.count_nonzero(mask[..., 1:] & mask[..., :-1]))
    return {
        "unreliable_fraction": fit.unreliable_fraction,
        "field_error": None if fit.error_hz is None else fit.error_hz * ppm_per_hz(field_strength),
        "field_residual": fit.residual_rad, "residual_correlation": fit.residual_correlation,
        "wraps_left": wraps, "wraps_left_fraction": wraps / pairs if pairs else None,
    }  # fmt: skip


def _maps(step: StepInput, mask: Any, grid: Any) -> dict[str, Any]:
    """Return the numbers of the local field and the susceptibility map."""
    from bids_app.qsm.quality_maps import rim_ratio, robust_sd, streak_ratio

    valid = read_image(step.inputs["mask_qsm"])[0] > 0
    if not valid.any():
        return {"valid_fraction": 0.0}
    chi = read_image(step.inputs["chi_inverted"])[0]
    found = {
        "valid_fraction": np.count_nonzero(valid & mask) / np.count_nonzero(mask),
        "chi_spread": robust_sd(chi[valid]), "streak_ratio": streak_ratio(chi, valid, grid),
    }  # fmt: skip
    if "local_field" in step.inputs:
        found["rim_ratio"] = rim_ratio(read_image(step.inputs["local_field"])[0], valid, grid)
    return found


def _similarity(step: StepInput) -> float | None:
    """Return what the registration of the T1w image has measured."""
    for key in _TRANSFORMS:
        if key in step.inputs:
            facts = json.loads(sidecar_path(step.inputs[key]).read_text(encoding="utf-8"))
            return float(facts["Similarity"]["mutual_information"])
    return None


def _plain(value: Any) -> Any:
    """Return a number as JSON knows it, with six digits: more are noise."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _needs(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys: tuple[str, ...] = (
        "echo_quality", "wraps", "field_sd", "residual", "mask_brain", "mask_qsm", "chi_inverted",
    )  # fmt: skip
    if settings.background.choice.method != "none":
        keys += ("local_field",)
    return keys + tuple(key for key in REGISTRATION.makes(run, settings) if key in _TRANSFORMS)


QUALITY = Step(
    "qc", "Quality control", numbers_of, reads=("qc",), needs=_needs, makes=lambda run, settings: ("qc",),
    memory=memory(12),
)  # fmt: skip
