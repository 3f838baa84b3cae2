"""Phase as stored to wrapped phase without offset: scale, slices of alternating sign, sign, phase at echo time zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_app.errors import QsmAppError
from bids_app.model.records import GreRun
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.steps.participant.common import combined, echo_files, grid_image, grid_of, like_of, memory, single_files
from bids_app.steps.participant.load import load_echoes

if TYPE_CHECKING:
    from bids_app.qsm import Acquisition


def corrected_phase(step: StepInput[GreRun]) -> StepResult:
    """Phase of the echoes in radians, ready to be unwrapped, and where there is signal."""
    from bids_app import qsm

    run, section = step.record, step.settings.field
    magnitude, phase, notes = load_echoes(step)
    try:
        corrected = qsm.correct_phase(
            phase,
            magnitude,
            run.echo_times,
            grid_of(run, phase.shape[1:]),
            acquisition=acquisition_of(run, notes[0]),
            options=section.choice,
            parameters=section.methods,
            overwrite=True,
        )
    except qsm.NoSignalError as error:
        raise QsmAppError(_no_signal(run, magnitude is None or bool(np.any(magnitude)))) from error
    like, sentences = like_of(run), [*notes, *corrected.notes[1:]]
    return StepResult(
        {
            "phase": Output(corrected.phase, like),
            "support": Output(corrected.support, like),
            "phase_checks": Output(sidecar={"scaling": notes[0], "notes": sentences}),
        },
        {
            "phase": sentences,
            "residue_share": corrected.residues,
            "support_voxels": int(np.count_nonzero(corrected.support)),
        },
        (*notes[1:], *corrected.warnings),
        corrected.methods,
    )


def acquisition_of(run: GreRun, phase_scaling: str) -> "Acquisition":
    """Return what the sidecars of a run say of its scan, and the numbers of its echoes."""
    from bids_app import qsm

    sidecars, numbers = [echo.metadata for echo in run.echoes], [echo.number for echo in run.echoes]
    return qsm.Acquisition.from_sidecars(sidecars, numbers, phase_scaling)


def _no_signal(run: GreRun, has_magnitude: bool) -> str:
    """Return the message where no voxel has signal: which files, and what to do."""
    parts = ("phase", "imag") if has_magnitude else ("magnitude", "real")
    files = ", ".join(path.name for name, path in echo_files(run).items() if name.startswith(parts))
    advice = "export them from the scanner again, or leave the run out by --bids-filter-file"
    if not has_magnitude:
        return f"every voxel of {files} is 0: there is no image in it; {advice}"
    return f"there is no signal in these images: the phase ({files}) is noise in every voxel; {advice}"


def _needs(run: GreRun, settings: Settings) -> tuple[str, ...]:
    return combined(run)


def _makes(run: GreRun, settings: Settings) -> tuple[str, ...]:
    return ("phase", "support", "phase_checks")


def _sources(run: GreRun, settings: Settings) -> Mapping[str, Path]:
    return single_files(run)


PHASE = Step(
    "phase",
    "Phase of the echoes",
    corrected_phase,
    reads=("field",),
    sources=_sources,
    headers=grid_image,
    needs=_needs,
    makes=_makes,
    # Phase as stored, scaled and corrected, and magnitude of all echoes, and a few maps.
    memory=memory(8, 4),
)
