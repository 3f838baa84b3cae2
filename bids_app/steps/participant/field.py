"""Phase of the echoes to the total field."""

from typing import Any

import numpy as np

from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import (
    ALTERNATED,
    combined,
    echo_files,
    grid_of,
    has_magnitude,
    like_of,
    load_echoes,
    memory,
    single_files,
)

#: Share of loops with a turn inside the bright part of the object from which the phase looks like noise.
_NOISE = 0.2


def _mend(run: GreRun, sign: str, phase: Any, magnitude: Any, notes: list[str]) -> tuple[Any, list[str]]:
    """Undo what scanners do to phase; return the phase and sentences for the user."""
    from bids_app.qsm.phase.checks import slices_alternate, undo_alternation

    warnings = notes[1:]
    span = float(phase.max() - phase.min())
    if span < 0.8 * 2 * np.pi:
        warnings.append(f"the phase covers {span / (2 * np.pi):.0%} of the circle only ({notes[0]}): check its scale")
    if slices_alternate(phase[0], magnitude[0]):
        for echo in phase:
            echo[...] = undo_alternation(echo)
        warnings.append(ALTERNATED)
    # GE's phase falls where the field is higher, Siemens' and Philips' rises.
    vendor = str(run.echoes[0].metadata.get("Manufacturer", "")).upper()
    if sign == "invert" or (sign == "auto" and vendor.startswith("GE")):
        np.negative(phase, out=phase)
        notes.append("the sign of the phase is inverted" + (", as GE scanners store it" if sign == "auto" else ""))
    return phase, warnings


def _remove_offsets(step: StepInput, phase: Any, magnitude: Any, mask: Any, grid: Any) -> tuple[Any, list[str]]:
    """Remove the phase at echo time zero as the settings say; return the phase and the methods that ran."""
    from bids_app.qsm.phase.bipolar import bipolar, even_echo_phase, is_bipolar
    from bids_app.qsm.phase.offsets import mcpc3ds

    section, times = step.settings.field, step.record.echo_times
    choice = section.choice.offsets
    if choice == "none" or len(times) < 2:
        return phase, []
    even = None
    if choice == "auto" and len(times) >= 3 and _polarity(step.record) != "monopolar":
        even = even_echo_phase(phase, magnitude, times, mask, grid)
        if not is_bipolar(even, section.of("bipolar")) and _polarity(step.record) != "bipolar":
            even = None
    if choice == "bipolar" or even is not None:
        params = section.of("bipolar")
        return bipolar(phase, magnitude, times, mask, grid, params=params, even=even).phase, ["bipolar", "mcpc3ds"]
    return mcpc3ds(phase, magnitude, times, mask, grid, params=section.of("mcpc3ds")).phase, ["mcpc3ds"]


def _no_signal(run: GreRun, magnitude: Any) -> str:
    """Return what the user is told where no voxel has signal: which files, and what to do."""
    files = ", ".join(path.name for name, path in echo_files(run).items() if name.startswith(("magnitude", "real")))
    advice = "export them from the scanner again, or leave the run out by --bids-filter-file"
    if not magnitude.any():
        return f"every voxel of {files} is 0: there is no image in it; {advice}"
    files = ", ".join(path.name for name, path in echo_files(run).items() if name.startswith(("phase", "imag")))
    return f"there is no signal in these images: the phase ({files}) is noise in every voxel; {advice}"


def _polarity(run: GreRun) -> str:
    """Return ``monopolar`` or ``bipolar`` where a sidecar says so, else an empty text: the data decides."""
    for echo in run.echoes:
        for key in ("ReadoutMode", "ReadoutPolarity", "MultiEchoReadout"):
            text = str(echo.metadata.get(key, "")).lower()
            for word in ("monopolar", "bipolar"):
                if word in text:
                    return word
    return ""


def total_field(step: StepInput) -> StepResult:
    """Phase of all echoes to the total field, its standard error and the phase's quality."""
    from bids_app.qsm.mask.recipe import signal_support
    from bids_app.qsm.phase.checks import residue_share
    from bids_app.qsm.quality.echoes import residual_wraps
    from bids_app.qsm.unwrap.romeo import romeo_quality

    run, section = step.record, step.settings.field
    magnitude, phase, notes = load_echoes(step)
    grid, times = grid_of(run, phase.shape[1:]), run.echo_times
    phase, warnings = _mend(run, section.choice.sign, phase, magnitude, notes)
    several, weighted = len(times) > 1, has_magnitude(run)
    romeo_params = section.of("romeo")
    rough = romeo_quality(phase, None, magnitude=magnitude, echo_times=times, params=romeo_params)
    support = signal_support(rough, several, weighted and romeo_params.magnitude_weight)
    del rough
    residues = residue_share(phase[0], support & (magnitude[0] >= np.median(magnitude[0][support])))
    if residues > _NOISE:
        warnings.append(
            f"the phase looks like noise ({residues:.0%} of small loops make a turn, noise has 33 %): check that it is "
            "phase, that it belongs to the magnitude and is not filtered or interpolated"
        )
    if not support.any():
        raise QsmAppError(_no_signal(run, magnitude))
    phase, methods = _remove_offsets(step, phase, magnitude, support, grid)
    unwrapped, quality = _unwrap(section, phase, magnitude, times, support, grid)
    kept = {"echo_phase": Output(_as_integers(phase, support), like_of(run))} if section.choice.keep_phase else {}
    del phase
    fit = _fit(section, unwrapped, magnitude, times, support, grid)
    echo_quality = _echo_quality(run, unwrapped, magnitude, fit.field_hz, support)
    wraps = residual_wraps(unwrapped, support)
    del unwrapped
    combined = np.square(magnitude[0])
    for echo in magnitude[1:]:
        combined += np.square(echo)
    np.sqrt(combined, out=combined)
    like = like_of(run)
    facts = {"EchoTimes": list(times), "MagneticFieldStrength": run.field_strength, "PhaseScaling": notes[0]}
    outputs = {
        "total_field": Output(fit.field_hz, like, facts),
        "total_field_magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "magnitude": Output(combined, like, {"EchoTimes": list(times)}),
        "quality": Output(quality, like),
        "field_sd": Output(fit.sd_hz, like),
        "residual": Output(fit.residual_rad, like),
        "wraps": Output(wraps, like),
        "echo_quality": Output(sidecar=echo_quality),
        **kept,
    }
    metrics = {
        "median_residual_rad": float(np.median(fit.residual_rad[support])),
        "median_field_sd_hz": float(np.median(fit.sd_hz[support])),
        "residue_share": residues,
        "support_voxels": int(np.count_nonzero(support)),
        "fit_iterations": fit.iterations,
        "phase": notes,
    }
    methods += [section.choice.unwrap, f"fit_{section.choice.fit}"]
    return StepResult(outputs, metrics, tuple(warnings), tuple(methods))


def _echo_quality(run: GreRun, unwrapped: Any, magnitude: Any, field_hz: Any, support: Any) -> dict[str, Any]:
    """Return what only this step has the data for, for the step of quality control."""
    from bids_app.qsm.quality.echoes import field_drift, ghost_fraction, snr

    found = {"field_drift": field_drift(unwrapped, magnitude, run.echo_times, field_hz, support)}
    if not has_magnitude(run):
        return found  # the magnitude is made up
    # Slices are encoded in 3D acquisitions alone; where the phase runs is told by few sidecars.
    metadata = run.echoes[0].metadata
    places = {"i": [0], "j": [1], "k": [2]}
    axes = places.get(str(metadata.get("PhaseEncodingDirection", ""))[:1], [0, 1])
    if metadata.get("MRAcquisitionType", "3D") == "3D":
        axes = [*axes, 2]
    signals = {f"snr_echo{number}": snr(image, support) for number, image in enumerate(magnitude, start=1)}
    return signals | {"ghost_fraction": ghost_fraction(magnitude[0], support, axes)} | found


def _as_integers(phase: Any, support: Any) -> Any:
    """Return wrapped phase as int16 (32767 is half a turn), 0 outside the support: half the space of float32."""
    out = np.empty(phase.shape, np.int16)
    for echo, target in zip(phase, out, strict=True):
        np.copyto(target, np.rint(np.where(support, echo, 0) * np.float32(32767 / np.pi)), casting="unsafe")
    return out


def _unwrap(section: Any, phase: Any, magnitude: Any, times: Any, support: Any, grid: Any) -> tuple[Any, Any]:
    """Return unwrapped phase and quality; ROMEO weighs its edges once for both."""
    from bids_app import qsm
    from bids_app.qsm.unwrap.romeo import romeo_and_quality, romeo_quality

    romeo_params = section.of("romeo")
    if section.choice.unwrap == "romeo":
        return romeo_and_quality(
            phase, lambda quality: support, magnitude=magnitude, echo_times=times, params=romeo_params
        )
    unwrapped = qsm.UNWRAP[section.choice.unwrap](
        phase, support, grid, magnitude=magnitude, echo_times=times, params=section.of(section.choice.unwrap)
    )
    return unwrapped, romeo_quality(phase, None, magnitude=magnitude, echo_times=times, params=romeo_params)


def _fit(section: Any, unwrapped: Any, magnitude: Any, times: Any, support: Any, grid: Any) -> Any:
    from bids_app.qsm.field.linear import fit_linear
    from bids_app.qsm.field.nonlinear import fit_nonlinear

    fits: dict[str, Any] = {"linear": fit_linear, "nonlinear": fit_nonlinear}
    name = section.choice.fit
    return fits[name](unwrapped, magnitude, times, support, grid=grid, params=section.of(name))


#: Phase, corrected and unwrapped phase and magnitude of all echoes, and a dozen maps.
_MEMORY = memory(14, 4)


def _keys(run: GreRun, settings: Any) -> tuple[str, ...]:
    keys: tuple[str, ...] = ("total_field", "total_field_magnitude", "magnitude", "quality", "field_sd", "residual")
    keys += ("wraps", "echo_quality")
    return (*keys, "echo_phase") if settings.field.choice.keep_phase else keys


FIELD = Step(
    "field",
    "Total field",
    total_field,
    reads=("field",),
    sources=single_files,
    needs=lambda run, settings: combined(run),
    makes=_keys,
    memory=_MEMORY,
)
