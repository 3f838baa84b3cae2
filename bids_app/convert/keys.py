"""For heuristics: names for series by what their headers say.

A heuristic imports ``custom_seqinfo`` (heudiconv then fills ``seqinfo.custom`` with :class:`SeriesFacts`) and calls
:func:`keys_by_content` with the series that it wants.
"""

from collections.abc import Iterable
from typing import Protocol

from bids_app.convert.classify.field_maps import FIELD_MAP_SUFFIXES
from bids_app.convert.classify.grouping import decide
from bids_app.convert.classify.series import SeriesFacts, custom_seqinfo

__all__ = ["SeriesFacts", "create_key", "custom_seqinfo", "keys_by_content"]

_FOLDERS = {
    folder: f"{{bids_subject_session_dir}}/{folder}/{{bids_subject_session_prefix}}" for folder in ("anat", "fmap")
}


class SeqInfo(Protocol):
    """What heudiconv knows of a series, as far as this module needs it."""

    series_id: str
    custom: SeriesFacts | None


Key = tuple[str, tuple[str, ...], None]


def create_key(template: str, outtype: tuple[str, ...] = ("nii.gz",)) -> Key:
    """Return a key of heudiconv's ``infotodict``."""
    return template, outtype, None


def keys_by_content(seqinfo: Iterable[SeqInfo], *, field_maps: bool = False) -> dict[Key, list[str]]:
    """Return keys and series as ``infotodict`` does: MEGRE, T2starw, T1w, UNIT1, field maps; the rest is left out.

    Magnitude and phase (separate series or one) are put together by content and time; repeated acquisitions get run
    numbers, different protocols ``acq-`` labels. ``echo-`` and ``part-`` of a series that holds several are added when
    it is converted. ``field_maps`` says that what a field map's name makes look like one is wanted all the same.
    """
    wanted = [(s.series_id, s.custom) for s in seqinfo if s.custom is not None]
    ids = {facts.uid: series_id for series_id, facts in wanted}
    info: dict[Key, list[str]] = {}
    for decision in decide([facts for _, facts in wanted], field_maps=field_maps).values():
        if decision.suffix:
            entities = "".join(f"_{key}-{value}" for key, value in decision.entities)
            start = _FOLDERS["fmap" if decision.suffix in FIELD_MAP_SUFFIXES else "anat"]
            key = create_key(f"{start}{entities}_{decision.suffix}")
            info.setdefault(key, []).append(ids[decision.facts.uid])
    return info
