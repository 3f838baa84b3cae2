"""Which examination and which series a file belongs to, also where the UIDs of the headers are not unique.

Programs that remove identities may give one UID to several patients or visits, and some exports give every volume of an
examination a study UID of its own. A key made of a part of the identity then mixes examinations, or splits one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from bids_app.convert.scan.header import Instance

#: Joins a UID with what distinguishes its holders; no UID holds this character.
MARK = "@"
#: Echo times (ms) that differ by no more are one.
ECHO_TIME_TOLERANCE = 0.0101
#: Relative difference of the distances between slices of one stack.
_STEP_TOLERANCE = 0.02
#: Digits of DICOM times that are compared: hours, minutes and seconds.
_SECONDS = 6

Person = tuple[str, str]  # PatientID and StudyDate


def identified(instances: Iterable[Instance]) -> list[Instance]:
    """Return the instances with a study UID for each examination and a series UID for each series.

    A study UID that several patients or dates share is completed with both; a series UID that several examinations
    share is completed with the examination's. Studies of one patient and date that share a series or a frame of
    reference, and of which no image is there twice, are one examination. So is a study whose files of several dates
    make regular stacks of slices together, as one over midnight. UIDs that are unique stay as they are.
    """
    identified = _with_common_dates([_with(i, study_uid=_own_study(i)) for i in instances])
    people: dict[str, set[Person]] = defaultdict(set)
    for instance in identified:
        people[instance.values["study_uid"]].add(_person(instance))
    identified = [
        _with(i, study_uid=MARK.join([i.values["study_uid"], *_person(i)]))
        if len(people[i.values["study_uid"]]) > 1
        else i
        for i in identified
    ]
    joined = _joined_studies(identified)
    identified = [_with(i, study_uid=joined.get(i.values["study_uid"], i.values["study_uid"])) for i in identified]
    holders: dict[str, set[str]] = defaultdict(set)
    for instance in identified:
        holders[instance.values["series_uid"]].add(instance.values["study_uid"])
    return [
        _with(i, series_uid=MARK.join([i.values["series_uid"], i.values["study_uid"]]))
        if len(holders[i.values["series_uid"]]) > 1
        else i
        for i in identified
    ]


def with_common_echo_times(instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances with one echo time (ms, to the hundredth) where those of an examination hardly differ.

    Decimal strings differ in the last digits from slice to slice and from magnitude to phase; rounding alone would
    split echoes whose times lie at the border of two roundings.
    """
    times: dict[str, set[float]] = defaultdict(set)
    for instance in instances:
        times[instance.values["study_uid"]] |= {f.echo_time for f in instance.frames if f.echo_time is not None}
    common = {study: _common(sorted(some)) for study, some in times.items()}
    changed = []
    for instance in instances:
        echo_times = common[instance.values["study_uid"]]
        frames = tuple(
            f if f.echo_time is None else replace(f, echo_time=echo_times[f.echo_time]) for f in instance.frames
        )
        changed.append(replace(instance, frames=frames))
    return changed


def _common(times: Sequence[float]) -> dict[float, float]:
    common: dict[float, float] = {}
    first = -1.0
    for time in times:
        if time - first > ECHO_TIME_TOLERANCE or first < 0:
            first = time
        common[time] = round(first, 2)
    return common


def plain_uid(uid: str) -> str:
    """Return the UID of the header."""
    return uid.partition(MARK)[0]


def _person(instance: Instance) -> Person:
    return instance.values["patient_id"], instance.values["study_date"]


def _own_study(instance: Instance) -> str:
    """Return the study UID; a file without one belongs to the examination of its patient, date and time."""
    values = instance.values
    if values["study_uid"] != "none":
        return str(values["study_uid"])
    return MARK.join(["none", *_person(instance), values["study_time"]])


def _with(instance: Instance, study_uid: str = "", series_uid: str = "") -> Instance:
    """Return the file with another UID of its study or series; an empty one stays as it is."""
    old = instance.values
    uids = study_uid or old["study_uid"], series_uid or old["series_uid"]
    if uids == (old["study_uid"], old["series_uid"]):
        return instance
    return replace(instance, values={**old, "study_uid": uids[0], "series_uid": uids[1]})


def _joined_studies(instances: Sequence[Instance]) -> dict[str, str]:
    """Return the common UID of studies that are one examination (see :func:`identified`)."""
    members: dict[tuple[str, Person], dict[str, list[Instance]]] = defaultdict(lambda: defaultdict(list))
    for instance in instances:
        values = instance.values
        for shared in (values["series_uid"], values.get("frame_of_reference", "")):
            if shared:
                key = shared, _person(instance)
                members[key][values["study_uid"]].append(instance)
    joined: dict[str, str] = {}
    for studies in members.values():
        if len(studies) > 1 and _is_one_series(studies):
            roots = {_root(joined, uid) for uid in studies}
            first = min(roots)
            joined |= {root: first for root in roots if root != first}
    return {uid: _root(joined, uid) for uid in joined}


def _with_common_dates(instances: Sequence[Instance]) -> list[Instance]:
    """Return the instances with the first date of a study where slices of one series have several."""
    stacks: dict[tuple[str, str], dict[str, dict[str, list[Instance]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for instance in instances:
        values = instance.values
        stacks[values["study_uid"], values["patient_id"]][values["series_uid"]][values["study_date"]].append(instance)
    first: dict[tuple[str, str], str] = {}
    for key, series in stacks.items():
        split = [dates for dates in series.values() if len(dates) > 1]
        if split and all(_are_regular_stacks(list(dates.values())) for dates in split):
            first[key] = min(date for dates in series.values() for date in dates)
    dated = []
    for instance in instances:
        values = instance.values
        date = first.get((values["study_uid"], values["patient_id"]), values["study_date"])
        dated.append(
            instance if date == values["study_date"] else replace(instance, values={**values, "study_date": date})
        )
    return dated


def _are_regular_stacks(groups: Sequence[Sequence[Instance]]) -> bool:
    """Return whether the slices of several groups of files lie at equal distances together."""
    stacks: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for instance in (instance for group in groups for instance in group):
        for frame in instance.frames:
            stacks[frame.part, frame.echo_time].extend(frame.positions)
    for positions in stacks.values():
        ordered = sorted(positions)
        steps = [high - low for low, high in pairwise(ordered)]
        if not steps or min(steps) <= 0 or max(steps) - min(steps) > _STEP_TOLERANCE * max(steps):
            return False
    return True


def _root(joined: dict[str, str], uid: str) -> str:
    while uid in joined:
        uid = joined[uid]
    return uid


def _is_one_series(studies: dict[str, list[Instance]]) -> bool:
    """Return whether the files of several studies complete each other: no image twice, and one series time."""
    images: set[tuple[object, ...]] = set()
    for members in studies.values():
        of_study = {(f.part, f.echo_time, z) for i in members for f in i.frames for z in f.positions}
        if images & of_study:
            return False
        images |= of_study
    times = {i.values["study_time"][:_SECONDS] for members in studies.values() for i in members}
    return len(times) == 1
