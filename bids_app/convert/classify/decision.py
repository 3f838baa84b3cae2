"""What becomes of a series."""

from dataclasses import dataclass

from bids_app.convert.classify.series import SeriesFacts


@dataclass(frozen=True)
class Decision:
    """The fate of a series: the BIDS entities of its images, or why there are none."""

    facts: SeriesFacts
    suffix: str = ""  # MEGRE, T2starw, T1w, UNIT1, fieldmap, magnitude; empty when skipped
    entities: tuple[tuple[str, str], ...] = ()  # of acq, run, echo, coil, part those that hold for the whole series
    reason: str = ""
