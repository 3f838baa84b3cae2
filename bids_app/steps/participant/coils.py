"""Echoes that have one image for each receive coil: combined before anything else."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from bids_app.derivatives.files import read_grid, read_volumes
from bids_app.model.records import Echo, GreRun
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.phase.scaling import PhaseScale, phase_scale
from bids_app.steps.participant.common import combined, echo_files, grid_of, like_of, memory


def _volumes(echo: Echo, part: str) -> Iterator[FloatArray]:
    """Give the images of all coils, from the fourth dimension of a file or from one file for each."""
    return chain.from_iterable(read_volumes(path) for path in echo.files(part))


class _Stored:
    """The coils of a run as they are stored, one in memory at a time."""

    def __init__(self, run: GreRun) -> None:
        self.run, self.by_phase = run, run.echoes[0].phase is not None
        self.scale = self._scale() if self.by_phase else PhaseScale(0, 1, "phase is that of real and imaginary")
        self.alternates: bool | None = None

    def _scale(self) -> PhaseScale:
        """Return what makes radians of all coils' and echoes' phase."""
        low, high, first, metadata = np.inf, -np.inf, None, self.run.echoes[0].metadata
        for volume in chain.from_iterable(_volumes(echo, "phase") for echo in self.run.echoes):
            finite = volume if np.isfinite(volume).all() else np.nan_to_num(volume, posinf=0, neginf=0)
            first = finite if first is None else first
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        assert first is not None
        return phase_scale(
            first, low, high, units=metadata.get("Units"), manufacturer=str(metadata.get("Manufacturer", ""))
        )

    def __call__(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Give phase (rad) and magnitude of one coil after the other, echoes first."""
        from bids_app.qsm.phase.checks import slices_alternate, undo_alternation

        parts = ("phase", "magnitude") if self.by_phase else ("imag", "real")
        files = [[_volumes(echo, part) for echo in self.run.echoes] for part in parts]
        for volumes in zip(*(zip(*part, strict=True) for part in files), strict=True):
            phase, magnitude = (np.stack(echoes) for echoes in volumes)
            if self.by_phase:
                phase = self.scale.radians(phase)
            else:
                phase, magnitude = np.arctan2(phase, magnitude), np.hypot(phase, magnitude)
            if self.alternates is None:
                self.alternates = slices_alternate(np.nan_to_num(phase[0]), np.nan_to_num(magnitude[0]))
            if self.alternates:
                phase = np.stack([undo_alternation(echo) for echo in phase])
            yield phase, magnitude


def combined_echoes(step: StepInput[GreRun]) -> StepResult:
    """Phase and magnitude of the echoes, coils combined."""
    from bids_app.qsm.phase.coils import combine_one_by_one
    from bids_app.qsm.phase.mcpc3ds import MCPC3DS
    from bids_app.qsm.pipeline.phase import ALTERNATED

    run, stored = step.record, _Stored(step.record)
    grid = grid_of(run, read_grid(like_of(run))[0][:3])
    combined = combine_one_by_one(stored, run.echo_times, None, grid, params=step.settings.field.of(MCPC3DS))
    several = len(run.echo_times) > 1
    return StepResult(
        {
            "coil_phase": Output(combined.phase, like_of(run)),
            "coil_magnitude": Output(combined.magnitude, like_of(run)),
        },
        {"coils": run.coils, "phase": stored.scale.note},
        (ALTERNATED,) if stored.alternates else (),
        ("coils_echoes" if several else "coils_reference",),
    )


#: Sums of all echoes, and the images of one coil.
_MEMORY = memory(12, 6)

COILS = Step(
    "coils",
    "Combination of coils",
    combined_echoes,
    reads=("field",),
    sources=echo_files,
    makes=lambda run, settings: combined(run),
    memory=lambda run, settings: _MEMORY(run, settings) * (run.coils > 1),
)
