"""Magnitude and phase of a run's echoes as the first steps take them: radians, finite, no offsets of single slices."""

import numpy as np

from bids_app.model.records import GreRun
from bids_app.model.step import StepInput
from bids_app.qsm.arrays import FloatArray
from bids_app.steps.participant.common import finite, load_magnitude, polar, stack_images, stored_magnitude


def load_echoes(step: StepInput[GreRun]) -> tuple[FloatArray | None, FloatArray, list[str]]:
    """Return magnitude (None where there is none) and phase of all echoes, echoes first, and notes on the phase.

    The first note says how the phase was scaled; the others are warnings.
    """
    run = step.record
    if run.coils > 1:
        magnitude: FloatArray | None = load_magnitude(step)
        phase = np.load(step.inputs["coil_phase"])
        notes = [f"phase is that of {run.coils} receive coils together"]
    else:
        magnitude, phase, notes = _load_images(run)
    _remove_slice_offsets(run, magnitude, phase, notes)
    return magnitude, phase, notes


def _remove_slice_offsets(run: GreRun, magnitude: FloatArray | None, phase: FloatArray, notes: list[str]) -> None:
    """Remove, in place, phase offsets of single slices, as 2D acquisitions have them.

    Between echoes they cancel. In a single echo the offset of a slice cannot be separated from the mean field in it:
    both are removed, but not where the sidecar says that the acquisition is 3D.
    """
    from bids_app.qsm.phase.slice_offsets import has_own_offsets, remove_slice_offsets, slice_steps

    kind = str(run.echoes[0].metadata.get("MRAcquisitionType", "")).upper()
    single = len(run.echoes) == 1
    if single and kind == "3D":
        return
    for axis in (2, 1, 0) if kind == "2D" else (2,):
        steps, weights = slice_steps(phase, magnitude, run.echo_times, axis)
        if has_own_offsets(steps, weights, kind == "2D", single):
            remove_slice_offsets(phase, steps, axis)
            how = (
                "with one echo the mean field of each slice cannot be separated from it and was removed with it, so "
                "that the map lacks what differs from slice to slice alone; acquire two echoes or more, or 3D"
                if single
                else "the offsets are the same in all echoes and were removed"
            )
            notes.append(
                f"every slice has a phase offset of its own along axis {'ijk'[axis]}, as in 2D acquisitions; {how}"
            )
            return


def _load_images(run: GreRun) -> tuple[FloatArray | None, FloatArray, list[str]]:
    from bids_app.qsm.phase.checks import has_no_wraps
    from bids_app.qsm.phase.scaling import TWO_PI, to_radians

    if run.echoes[0].phase is None:
        notes = ["phase is that of real and imaginary"]
        return *polar(run, notes), notes
    metadata = run.echoes[0].metadata
    units, manufacturer = metadata.get("Units"), str(metadata.get("Manufacturer", ""))
    notes = []
    stored = finite(stack_images([e.phase for e in run.echoes if e.phase]), "phase", notes)
    span = float(np.ptp(stored))
    if units is None and span > 1.1 * TWO_PI and has_no_wraps(stored):
        units = "rad"
        notes.append(
            f"the phase has no wraps and covers {span:.1f}: it is taken as radians that are unwrapped already; say "
            '"Units": "rad" in its sidecar if that is right, else export the phase as the scanner stores it'
        )
    scaled = to_radians(stored, units=units, manufacturer=manufacturer, overwrite=True)
    magnitude = stored_magnitude(run, notes)
    return magnitude, scaled.phase, [scaled.note, *notes]
