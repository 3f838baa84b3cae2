"""From named series to volumes with file names: what exactly will be written, and from which files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.convert.classify.series import Series, Volume
from bids_app.convert.name.heuristic import add_entity, get_entity

#: Suffixes of gradient echoes: their names always say which part and echo they are.
GRE_SUFFIXES = ("MEGRE", "T2starw")
_FIELD_MAP_SUFFIXES = ("magnitude", "magnitude1", "magnitude2", "phasediff", "phase1", "phase2", "fieldmap")
_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_[A-Za-z0-9]+$")


@dataclass(frozen=True)
class VolumePlan:
    """One image to be written."""

    volume: Volume
    files: tuple[Path, ...]
    target: str  # path below the dataset, without extension
    series_uid: str


@dataclass(frozen=True)
class SeriesPlan:
    """All images of one series."""

    series: Series
    volumes: tuple[VolumePlan, ...]

    @property
    def way(self) -> str:
        """``heudiconv`` where every file belongs to one volume, else ``dcm2niix``.

        heudiconv separates the volumes of a mixed multi-frame file by M and P in ImageType, which such files lack.
        """
        return "dcm2niix" if self.series.facts.mixed_files else "heudiconv"


def plan_series(
    series: Sequence[Series], names: Mapping[str, Sequence[str]], subject: str, session: str | None
) -> tuple[list[SeriesPlan], dict[str, str]]:
    """Return the plans of all series that can be converted, and why others cannot, by UID."""
    plans: list[SeriesPlan] = []
    refused: dict[str, str] = {}
    taken: dict[str, Series] = {}
    for item in series:
        if item.facts.uid not in names:
            continue
        plan, reason = _plan_one(item, names[item.facts.uid], subject, session)
        if plan is not None:
            clash = next((taken[v.target] for v in plan.volumes if v.target in taken), None)
            if clash is not None:
                plan, reason = (
                    None,
                    (
                        f"it would get the name that series {clash.facts.number} has already; "
                        "give one of them another name, such as run-2_MEGRE, in the heuristic or in --series"
                    ),
                )
        if plan is None:
            refused[item.facts.uid] = reason
            continue
        taken.update((v.target, item) for v in plan.volumes)
        plans.append(plan)
    return plans, refused


def name_start(subject: str, session: str | None) -> str:
    """Return how the paths of a session's anatomical images start: ``sub-1/anat/sub-1_``."""
    entities = [f"sub-{subject}", *([f"ses-{session}"] if session else [])]
    return "/".join([*entities, "anat", "_".join([*entities, ""])])


def _plan_one(
    item: Series, templates: Sequence[str], subject: str, session: str | None
) -> tuple[SeriesPlan | None, str]:
    prefix, _, start = name_start(subject, session).rpartition("anat/")
    volumes: list[VolumePlan] = []
    for template in templates:
        name = template.rpartition("/")[2]
        if not template.startswith(prefix) or not name.startswith(start) or not _NAME.fullmatch(name):
            return None, f"the heuristic's name {template!r} is not a BIDS name of this subject and session"
        keep_repetitions = name.rpartition("_")[2] in GRE_SUFFIXES
        for volume, files in (item.files if keep_repetitions else _time_series(item.files)).items():
            target, reason = name_volume(template, volume, item)
            reason = reason or _lacking(target, volume, item)
            if reason:
                return None, reason
            volumes.append(VolumePlan(volume, files, target, item.facts.uid))
    return SeriesPlan(item, tuple(volumes)), ""


def _lacking(target: str, volume: Volume, item: Series) -> str:
    """Return what QSM needs of a gradient echo and the header does not have, or an empty text."""
    suffix = target.rpartition("_")[2]
    if suffix == "fieldmap" and volume.part == "field" and not item.facts.field:
        return "there is no MagneticFieldStrength in its header"
    if suffix in GRE_SUFFIXES:
        for value, name in ((volume.echo_time, "EchoTime"), (item.facts.field, "MagneticFieldStrength")):
            if not value:
                return f"there is no {name} in its header"
    return ""


def _time_series(files: Mapping[Volume, tuple[Path, ...]]) -> dict[Volume, tuple[Path, ...]]:
    """Put the repetitions of a volume together: what is no gradient echo for QSM stays a series of volumes."""
    merged: dict[tuple[str, float | None], tuple[Volume, tuple[Path, ...]]] = {}
    for volume, paths in files.items():
        key = volume.part, volume.echo_time
        first, before = merged.get(key, (replace(volume, repetition=1, images=0), ()))
        merged[key] = replace(first, images=first.images + volume.images), (*before, *paths)
    return {volume: tuple(sorted(set(paths))) for volume, paths in merged.values()}


def name_volume(template: str, volume: Volume, item: Series) -> tuple[str, str]:
    """Return the full name of a volume under the series' template, or why the template cannot be right.

    ``echo-`` is added where the series holds several echoes, ``part-`` to gradient echoes and to what is no magnitude.
    A template that calls a phase image a magnitude is refused.
    """
    suffix = template.rpartition("_")[2]
    target = template
    if suffix == "fieldmap" and "field" in item.facts.parts:
        return (target if volume.part == "field" else f"{template.removesuffix('fieldmap')}magnitude"), ""
    if suffix in _FIELD_MAP_SUFFIXES:
        echoes = item.facts.echo_times
        if suffix == "magnitude" and len(echoes) == 2 and volume.echo_time is not None:
            return f"{target}{echoes.index(volume.echo_time) + 1}", ""
        return target, ""
    named = get_entity(target, "part")
    if named is not None and named != volume.part:
        return "", f"the heuristic calls it part-{named}, its header says {volume.part}"
    if len(item.facts.echo_times) > 1 and volume.echo_time is not None and get_entity(target, "echo") is None:
        target = add_entity(target, "echo", str(item.facts.echo_times.index(volume.echo_time) + 1))
    if volume.coil:
        target = add_entity(target, "coil", str(item.facts.coils.index(volume.coil) + 1))
    if suffix in GRE_SUFFIXES or volume.part != "mag":
        target = add_entity(target, "part", volume.part)
    if suffix in GRE_SUFFIXES and max(v.repetition for v in item.facts.volumes) > 1:
        first = int(get_entity(target, "run") or 1)
        target = add_entity(target, "run", str(first + volume.repetition - 1))
    return target, ""
