"""Paramagnetic and diamagnetic susceptibility."""

from pathlib import Path

import numpy as np

from bids_app.derivatives.files import read_image, read_mask
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.operators.smoothing import gaussian
from bids_app.qsm.registry import SEPARATION as METHODS
from bids_app.qsm.separation.sources import SeparationData
from bids_app.qsm.units import hz_to_ppm
from bids_app.steps.participant.background import has_local_field
from bids_app.steps.participant.common import combined, grid_image, grid_of, load_magnitude, magnitude_files, memory
from bids_app.steps.participant.r2prime import r2prime_keys
from bids_app.steps.participant.relaxometry import has_r2star
from bids_app.steps.participant.spin_echo import has_r2

#: Labels of white matter in FastSurfer's segmentation: hemispheres, cerebellum, hypointensities, corpus callosum.
_WHITE = (2, 41, 7, 46, 77, 85, 251, 252, 253, 254, 255)
#: Edges of labels are blurred by this share of a voxel's width, as partial volume would.
_BLUR = 0.6
#: Sidecar texts that every map carries.
SIGN = "Diamagnetic susceptibility is negative; the sum of both maps is the susceptibility"
#: What a method finds about its relaxivity, by the sidecar's field.
RELAXIVITY = {
    "relaxivity": "RelaxivityHzPerPpm",
    "relaxivity_sd": "RelaxivitySd",
    "relaxivity_source": "RelaxivitySource",
}
SOURCES = ("chi_paramagnetic", "chi_diamagnetic")


def separate(step: StepInput[GreRun]) -> StepResult:
    """Run the chosen method on susceptibility, local field and relaxation."""
    run, section, files = step.record, step.settings.separation, step.inputs
    method = METHODS[section.choice.method]
    data = _data(step)
    info: dict[str, object] = {}
    sources = method(data, params=section.of(method.name), progress=step.progress, info=info)
    like = files["mask_qsm"]
    facts: dict[str, object] = {"Method": method.name, "MagneticFieldStrength": run.field_strength, "Sign": SIGN}
    facts |= {RELAXIVITY[key]: value for key, value in info.items() if key in RELAXIVITY}
    maps = {"chi_paramagnetic": sources.paramagnetic, "chi_diamagnetic": sources.diamagnetic}
    outputs = {key: Output(maps[key], like, facts) for key in SOURCES}
    metrics = dict(info)
    if sources.residual is not None:
        measured = data.r2prime if data.r2prime is not None else data.r2star
        share = None if measured is None else round(_relative(sources.residual, measured, data.valid), 4)
        metrics["relative_residual"] = share
        outputs["separation_residual"] = Output(sources.residual, like, facts | {"RelativeResidual": share})
    return StepResult(outputs, metrics, (), (method.key,))


def _relative(residual: FloatArray, measured: FloatArray, valid: np.ndarray) -> float:
    size = float(np.sqrt(np.mean(measured[valid].astype(np.float64) ** 2))) if valid.any() else 0.0
    return float(np.sqrt(np.mean(residual[valid].astype(np.float64) ** 2))) / size if size > 0 else 0.0


def _data(step: StepInput[GreRun]) -> SeparationData:
    """Return the maps that are there as the methods take them."""
    run, files = step.record, step.inputs
    mask = read_mask(files["mask_qsm"])
    field_strength = float(run.field_strength or 0)
    maps = {
        name: read_image(files[key])[0]
        for name, key in (
            ("chi", "chimap"),
            ("r2prime", "r2prime"),
            ("r2prime_sd", "r2prime_sd"),
            ("r2star", "r2star"),
            ("r2", "r2"),
            ("fibre_angle", "fibre_angle"),
        )
        if key in files
    }
    local = hz_to_ppm(read_image(files["local_field"])[0], field_strength) if "local_field" in files else None
    several = len(run.echo_times) > 1
    return SeparationData(
        grid_of(run, mask.shape),
        mask,
        field_strength,
        local_field=local,
        r2prime_mask=read_mask(files["mask_r2prime"]) if "mask_r2prime" in files else None,
        magnitude=load_magnitude(step) if several and _has_magnitude(step) else None,
        echo_times=run.echo_times if several and _has_magnitude(step) else (),
        white_matter=_white_matter(files),
        **maps,
    )


def _has_magnitude(step: StepInput[GreRun]) -> bool:
    return any(name.startswith(("magnitude", "real", "coil_magnitude")) for name in step.inputs)


def _white_matter(files: "dict[str, Path] | object") -> FloatArray | None:
    """Return the fraction of white matter by FastSurfer's labels, where there are any."""
    path = files.get("dseg_gre@fastsurfer") if hasattr(files, "get") else None
    if path is None:
        return None
    inside = np.isin(np.rint(read_image(path)[0]).astype(np.int32), _WHITE)
    return np.clip(gaussian(inside.astype(np.float32), (_BLUR,) * 3), 0, 1)


def _files(run: GreRun, settings: Settings) -> dict[str, Path]:
    angle = run.given("fibre_angle")
    return ({"fibre_angle": angle.path} if angle else {}) | magnitude_files(run)


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("chimap", "mask_qsm", *combined(run)[1:], *r2prime_keys(run, settings))
    if has_local_field(run, settings):
        keys += ("local_field",)
    if has_r2(run, settings):
        keys += ("r2",)
    if has_r2star(run, settings):
        keys += ("r2star",)
    if run.t1w is not None and "fastsurfer" in settings.segmentation.choice.which:
        keys += ("dseg_gre@fastsurfer",)
    return keys


def separation_keys(run: GreRun, settings: Settings) -> tuple[str, ...]:
    """Return the products of the chosen separation."""
    name = settings.separation.choice.method
    if name == "none":
        return ()
    return SOURCES if name == "decompose" else (*SOURCES, "separation_residual")


SEPARATION = Step(
    "separation",
    "Paramagnetic and diamagnetic susceptibility",
    separate,
    reads=("separation",),
    sources=_files,
    headers=grid_image,
    needs=_needs,
    makes=separation_keys,
    memory=memory(45, 2),
)
