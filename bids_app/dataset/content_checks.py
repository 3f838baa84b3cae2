"""Checks of what images hold against what their names and sidecars say, from a few slices in the middle.

A magnitude that is empty, a magnitude and a phase under each other's names, and echoes in different units give a map
without any other sign that it is wrong.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.dataset.image_checks import files_of
from bids_app.dataset.images import look_at, middle_slices
from bids_app.model.records import GreRun

#: Slices that are looked at.
_SLICES = 3
#: A negative value of a magnitude is one that lies below this share of its maximum.
_NEGATIVE = 0.01
#: Share of neighbours that differ by more than half the range: noise has a quarter, wraps a few percent.
_JUMPS = 0.02
#: Where a magnitude jumps, at the edge of the object, there is air, and at least this share of the slice is dark.
_AIR = 0.2
#: Ranges that wrapped phase fills: radians, milliradians, and the codes of 12 and 13 bits.
_RANGES = (2 * np.pi, 2000 * np.pi, 4096.0, 8192.0)
#: Relative deviation from such a range.
_FILLED = 0.03
#: Ratio of the ranges of two echoes' phases that no unwrapping explains.
_RATIO = 20.0
#: At least this share of the values of a real or imaginary part lies within the magnitude.
_PART = 0.999
#: Fewer values may be equal by chance.
_MIN_SIZE = 1000
#: Integers beyond this are no radians.
_MAX_INTEGER_RAD = 100.0


@dataclass(frozen=True)
class _Sample:
    path: Path
    low: float
    high: float
    jumps: float  # share of neighbours in a slice that differ by more than half the range
    dark: float  # share of the slice in the lowest tenth of the range
    integers: bool
    digest: str  # of the values
    size: int

    @property
    def span(self) -> float:
        return self.high - self.low

    @property
    def filled(self) -> float | None:
        """The range of wrapped phase that the values fill, if there is one."""
        return next((r for r in _RANGES if abs(self.span / r - 1) < _FILLED), None)


def contents(run: GreRun) -> Iterator[str]:
    """Images hold what their names say; run after the checks of single files."""
    if any(look_at(path, is_phase=False, coils=run.coils).problem for echo in run.echoes for path in files_of(echo)):
        return  # reported already
    yield from _magnitudes(run)
    phases = {echo.number: _sampled(echo.phase) for echo in run.echoes if echo.phase is not None}
    yield from _copies([*phases.values(), *(_sampled(echo.magnitude) for echo in run.echoes if echo.magnitude)])
    yield from _parts_of_complex(run, phases)
    yield from _scales(run, phases)
    for echo in run.echoes:
        sample = phases.get(echo.number)
        if sample and echo.metadata.get("Units") == "rad" and sample.integers and sample.span > _MAX_INTEGER_RAD:
            yield (
                f'{sample.path.name}: "Units" is "rad" in its JSON sidecar, and the values are integers from '
                f'{sample.low:g} to {sample.high:g}: correct "Units" (arbitrary), or export the phase in radians'
            )


def _magnitudes(run: GreRun) -> Iterator[str]:
    for echo in run.echoes:
        if echo.magnitude is None:
            continue
        magnitude = _sampled(echo.magnitude)
        if magnitude.span == 0:
            problem = look_at(echo.magnitude, is_phase=True, coils=run.coils).problem  # the whole image
            if problem:
                yield problem.replace("the phase has", "the magnitude has").replace("the phase again", "it again")
        elif magnitude.low < -_NEGATIVE * magnitude.high:
            yield (
                f"{magnitude.path.name}: has values below 0 ({magnitude.low:g}), which no magnitude has: magnitude and "
                "phase may be exchanged; correct the names"
            )
        elif magnitude.jumps > _JUMPS and magnitude.dark < _AIR and _is_smoother(echo.phase, magnitude):
            yield (
                f"{magnitude.path.name}: its values jump as wrapped phase does, those of the phase do not: "
                "magnitude and phase may be exchanged; correct the names"
            )


def _is_smoother(phase: Path | None, magnitude: _Sample) -> bool:
    if phase is None:
        return False
    other = _sampled(phase)
    return other.jumps < magnitude.jumps / 2 or other.dark >= _AIR


def _scales(run: GreRun, phases: dict[int, _Sample]) -> Iterator[str]:
    """All echoes share one scale: they are scaled to radians together."""
    known = [sample for sample in phases.values() if sample.span > 0]
    if len(known) < 2:
        return
    units = {str(echo.metadata["Units"]) for echo in run.echoes if echo.metadata.get("Units") is not None}
    if len(units) > 1:
        yield f"{run.basename}: echoes have different Units ({', '.join(sorted(units))}) in their JSON sidecars"
    least, most = min(known, key=lambda s: s.span), max(known, key=lambda s: s.span)
    ranges = {sample.filled for sample in known if sample.filled}
    if most.span > _RATIO * least.span or len(ranges) > 1:
        first, second = (least, most)
        yield (
            f"{run.basename}: the phase of the echoes has different scales: {first.path.name} goes from "
            f"{first.low:.4g} to {first.high:.4g}, {second.path.name} from {second.low:.4g} to {second.high:.4g}; "
            "export all echoes in the same way"
        )


def _copies(samples: Sequence[_Sample]) -> Iterator[str]:
    """Find images that hold the same values as another one: a file was copied under a second name."""
    known: dict[str, Path] = {}
    for sample in samples:
        first = known.setdefault(sample.digest, sample.path)
        if first != sample.path and sample.span > 0 and sample.size >= _MIN_SIZE:
            yield f"{first.name} and {sample.path.name} hold the same values: one of them is a copy; export it again"


def _parts_of_complex(run: GreRun, phases: dict[int, _Sample]) -> Iterator[str]:
    """Find real or imaginary parts called phase: no value exceeds the magnitude, even in the noise of air."""
    for echo in run.echoes:
        phase = phases.get(echo.number)
        if phase is None or echo.magnitude is None or phase.filled or phase.low >= 0:
            continue
        magnitude = np.abs(middle_slices(echo.magnitude, _SLICES))
        values = np.abs(middle_slices(phase.path, _SLICES))
        if values.shape != magnitude.shape or not 0.5 < values.max() / max(magnitude.max(), 1e-30) < 1.05:
            continue
        if np.mean(values <= 1.02 * magnitude + 1e-3 * magnitude.max()) > _PART:
            yield (
                f"{phase.path.name}: no value exceeds the magnitude, so that it is the real or imaginary part; name it "
                "part-real or part-imag, or export the phase"
            )


def _sampled(path: Path) -> _Sample:
    values = middle_slices(path, _SLICES)
    values = np.where(np.isfinite(values), values, 0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if values.size:
        low, high = float(values.min()), float(values.max())
    half = 0.5 * (high - low)
    steps = [np.abs(np.diff(values, axis=axis)) > half for axis in (0, 1) if values.shape[axis] > 1]
    jumps = max((float(step.mean()) for step in steps if step.size), default=0.0) if half > 0 else 0.0
    dark = float(np.mean(values < low + 0.1 * (high - low))) if values.size else 0.0
    digest = hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()
    integers = bool(np.array_equal(values, np.rint(values)))
    return _Sample(path, low, high, jumps, dark, integers, digest, values.size)
