"""Frozen records of what a dataset holds; made by ``query``, read by steps."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Echo:
    """The images of one echo; either ``phase`` (with or without ``magnitude``) or ``real`` and ``imag`` are there."""

    number: int
    echo_time: float | None  # seconds
    magnitude: Path | None = None
    phase: Path | None = None
    real: Path | None = None
    imag: Path | None = None
    metadata: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)  # of the phase (or real) image


@dataclass(frozen=True)
class GreRun:
    """One gradient-echo acquisition: all echoes that share every entity but ``echo`` and ``part``."""

    subject: str
    session: str | None
    entities: tuple[tuple[str, str], ...]  # short BIDS keys in file-name order: sub, ses, acq, rec, run ...
    suffix: str  # MEGRE, T2starw or T1w
    datatype: str
    echoes: tuple[Echo, ...]  # by echo time
    field_strength: float | None  # tesla
    b0_dir: tuple[float, float, float] | None = None  # scanner direction from a sidecar's B0_dir, else None: (0, 0, 1)

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_acq-x_run-1``: every entity of the source, so that two runs never collide."""
        return "_".join(f"{key}-{value}" for key, value in self.entities)

    @property
    def echo_times(self) -> tuple[float, ...]:
        """Echo times in seconds (preflight has made sure that they are all there)."""
        return tuple(float(e.echo_time) for e in self.echoes if e.echo_time is not None)


@dataclass(frozen=True)
class Anatomical:
    """A T1-weighted (or other structural) image of a subject."""

    path: Path
    subject: str
    session: str | None
    entities: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Subject:
    """Everything of one participant that the app may use."""

    label: str
    runs: tuple[GreRun, ...]
    t1w: tuple[Anatomical, ...] = ()
