"""Series of one session put together to acquisitions: magnitude, phase and echoes that were measured at once."""

from dataclasses import dataclass, field

from bids_app.convert.classify.series import SeriesFacts, Volume

#: Magnitude and phase of one acquisition start within this time (s); repetitions are separated by more.
SAME_ACQUISITION_S = 10.0

#: Part, echo time in ms, repetition and coil element of a volume.
Slot = tuple[str, float | None, int, str]


@dataclass
class Acquisition:
    """Series that were measured at once."""

    series: list[SeriesFacts] = field(default_factory=list)

    @property
    def slots(self) -> set[Slot]:
        """The volumes that it has."""
        return {slot_of(v) for m in self.series for v in m.volumes}

    @property
    def parts(self) -> set[str]:
        """The parts of the complex image that it has."""
        return {v.part for m in self.series for v in m.volumes}

    def echoes(self, *parts: str) -> set[float | None]:
        """Return the echo times (ms) of any of these parts."""
        return {v.echo_time for m in self.series for v in m.volumes if v.part in parts}

    @property
    def repetitions(self) -> int:
        """How often it was acquired in a row."""
        return max(v.repetition for m in self.series for v in m.volumes)

    @property
    def seconds(self) -> float | None:
        """Start of the first series in seconds since 1970; None where no series says it."""
        return min((m.seconds for m in self.series if m.seconds is not None), default=None)


def slot_of(v: Volume) -> Slot:
    """Return what names a volume inside an acquisition; echo times count to 0.01 ms."""
    return v.part, None if v.echo_time is None else round(v.echo_time, 2), v.repetition, v.coil


def acquisitions_of(series: list[SeriesFacts]) -> list[Acquisition]:
    """Put together magnitude and phase (and echoes) that were acquired at once.

    A series joins the acquisition that lacks what it holds and is nearest in time; without times the order decides. A
    phase that was stored long after any magnitude joins the nearest one with the same echoes that has none.
    """
    acquisitions: list[Acquisition] = []
    late: list[SeriesFacts] = []
    for s in series:
        slots = {slot_of(v) for v in s.volumes}
        free = [a for a in acquisitions if not a.slots & slots and _is_related(a, s)]
        near = [a for a in free if seconds_between(a, s) <= SAME_ACQUISITION_S]
        if near:
            min(near, key=lambda a: seconds_between(a, s)).series.append(s)
        elif free and s.parts.isdisjoint({"mag"}):
            late.append(s)
        else:
            acquisitions.append(Acquisition([s]))
    for s in late:
        slots = {slot_of(v) for v in s.volumes}
        free = [
            a
            for a in acquisitions
            if not a.slots & slots
            and not a.parts & s.parts
            and a.echoes(*a.parts) == set(s.echo_times)
            and a.series[0].study_uid == s.study_uid
        ]
        if free:
            min(free, key=lambda a: seconds_between(a, s)).series.append(s)
        else:
            acquisitions.append(Acquisition([s]))
    return acquisitions


def _is_related(a: Acquisition, s: SeriesFacts) -> bool:
    first = a.series[0]
    if first.study_uid != s.study_uid:  # equal dates and times mean nothing: programs that remove identities set them
        return False
    if first.of_coils != s.of_coils:  # a combined magnitude is no coil
        return False
    same_protocol = not (first.protocol and s.protocol) or first.protocol == s.protocol
    return same_protocol and max(v.repetition for v in s.volumes) == max(v.repetition for v in first.volumes)


def seconds_between(a: Acquisition, s: SeriesFacts) -> float:
    """Seconds between the starts; series without times count as acquired together."""
    if a.seconds is None or s.seconds is None:
        return 0.0
    return abs(a.seconds - s.seconds)


def by_echoes(acquisitions: list[Acquisition]) -> list[list[Acquisition]]:
    """Separate acquisitions with different echo times: they are different protocols, not repeated runs."""
    groups: dict[tuple[object, ...], list[Acquisition]] = {}
    for a in acquisitions:
        echoes = tuple(sorted(round(e or 0.0, 1) for e in a.echoes("mag", "phase", "real", "imag")))
        groups.setdefault(echoes, []).append(a)
    return list(groups.values())
