"""Series of single coil elements: left out where combined images are there, else kept for the app to combine."""

from collections.abc import Sequence
from dataclasses import replace

from bids_app.convert.classify import content
from bids_app.convert.classify.coil_elements import coil_order, is_element
from bids_app.convert.classify.series import SeriesFacts

#: Series of as many coil elements are a set; two may be two head coils.
_MIN_ELEMENTS = 3


def marked(series: Sequence[SeriesFacts]) -> list[SeriesFacts]:
    """Return the series; those that differ from others in their coil element alone have it in their volumes."""
    groups: dict[tuple[object, ...], list[SeriesFacts]] = {}
    for s in series:
        if len(s.coils) == 1 and is_element(s.coils[0]):
            groups.setdefault((s.study_uid, s.geometry, s.protocol, s.echo_times, s.parts), []).append(s)
    sets = [members for members in groups.values() if len({m.coils for m in members}) >= _MIN_ELEMENTS]
    single = {s.uid for members in sets for s in members}
    return [
        replace(s, volumes=tuple(replace(v, coil=s.coils[0]) for v in s.volumes)) if s.uid in single else s
        for s in series
    ]


def refuse(s: SeriesFacts, others: Sequence[SeriesFacts]) -> str | None:
    """Return why images of single coil elements are not needed or cannot be used; None when they may be."""
    if not s.of_coils:
        return None
    if content.is_inversion_prepared(s) or s.epi:
        return "uncombined coil images: the combined images are needed"
    if any(_has_phase_of(other, s) for other in others):
        return "uncombined coil images: the combined images of the same echoes are used"
    return None


def _has_phase_of(other: SeriesFacts, s: SeriesFacts) -> bool:
    """Return whether a series holds the combined phase of the echoes of another one."""
    if other.of_coils or not other.parts & {"phase", "real"}:
        return False
    return (
        other.study_uid == s.study_uid and other.geometry == s.geometry and set(s.echo_times) <= set(other.echo_times)
    )


def elements_of(series: Sequence[SeriesFacts]) -> list[str]:
    """Return the coil elements of all series together, in the order of their numbers."""
    return sorted({v.coil for s in series for v in s.volumes} - {""}, key=coil_order)
