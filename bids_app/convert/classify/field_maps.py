"""Field maps in Hz that the scanner computed: taken where a session has no phase to compute one from."""

from collections.abc import Mapping, Sequence

from bids_app.convert.classify.decision import Decision
from bids_app.convert.classify.series import SeriesFacts

#: Suffixes of a field map in Hz and of its magnitude.
FIELD_MAP_SUFFIXES = ("fieldmap", "magnitude")
_GRADIENT_ECHOES = ("MEGRE", "T2starw")
_NOT_NEEDED = (
    "field map in Hz made by the scanner (B0 map): the phase of the gradient echo is used; "
    "name it fieldmap in --series to convert it too"
)
_NO_MAGNITUDE = "field map in Hz made by the scanner (B0 map): there is no magnitude image on its grid"


def decide_field_maps(maps: Sequence[SeriesFacts], others: Mapping[str, Decision]) -> dict[str, Decision]:
    """Return what becomes of field maps, and of magnitudes that came as series of their own; by series UID.

    Parameters
    ----------
    maps
        Series that hold a field map in Hz, with a magnitude or without.
    others
        The fate of the session's other series.
    """
    if any(decision.suffix in _GRADIENT_ECHOES for decision in others.values()):
        return {s.uid: Decision(s, reason=_NOT_NEEDED) for s in maps}
    decisions: dict[str, Decision] = {}
    pairs: list[tuple[SeriesFacts, SeriesFacts]] = []
    for s in maps:
        free = [d.facts for d in others.values() if not d.suffix and d.facts.uid not in decisions]
        magnitude = s if "mag" in s.parts else _magnitude_of(s, free)
        if magnitude is None:
            decisions[s.uid] = Decision(s, reason=_NO_MAGNITUDE)
        else:
            pairs.append((s, magnitude))
            decisions[magnitude.uid] = decisions[s.uid] = Decision(s)
    for number, (s, magnitude) in enumerate(pairs, start=1):
        run = (("run", str(number)),) if len(pairs) > 1 else ()
        decisions[magnitude.uid] = Decision(magnitude, "magnitude", run, "the magnitude of a field map")
        decisions[s.uid] = Decision(s, "fieldmap", run, "field map in Hz made by the scanner")
    return decisions


def _magnitude_of(s: SeriesFacts, series: Sequence[SeriesFacts]) -> SeriesFacts | None:
    """Return the magnitude on the grid of a field map that is nearest in time."""
    near = [
        m
        for m in series
        if m.parts == {"mag"}
        and len(m.volumes) == 1
        and m.is_mr_image
        and (m.study_uid, m.geometry) == (s.study_uid, s.geometry)
    ]
    return min(near, key=lambda m: abs((m.seconds or 0.0) - (s.seconds or 0.0)), default=None)
