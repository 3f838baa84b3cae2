"""Series of one session put together to acquisitions, and their names: ``acq-``, ``run-``, ``echo-``, ``part-``."""

import re
from collections.abc import Iterable, Sequence

from bids_app.convert.classify import coils, content
from bids_app.convert.classify.acquisitions import (
    SAME_ACQUISITION_S,
    Acquisition,
    acquisitions_of,
    by_echoes,
    seconds_between,
    slot_of,
)
from bids_app.convert.classify.decision import Decision
from bids_app.convert.classify.field_maps import decide_field_maps
from bids_app.convert.classify.labels import protocol_labels
from bids_app.convert.classify.series import SeriesFacts

#: Tokens of ImageType that name the part, not the reconstruction.
_PART_TOKENS = {"M", "P", "R", "I", "MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "M_FFE", "PHASE MAP", "R_FFE", "I_FFE"}


def decide(series: Sequence[SeriesFacts], *, field_maps: bool = False) -> dict[str, Decision]:
    """Decide what becomes of every series of one subject and session; by series UID.

    ``field_maps``: gradient echoes of two echoes are wanted even where a name says field map.
    """
    decisions: dict[str, Decision] = {}
    left: list[SeriesFacts] = []
    for facts in sorted(series, key=lambda s: (s.seconds or 0.0, s.number, s.uid)):
        reason = content.refuse(facts)
        if reason:
            decisions[facts.uid] = Decision(facts, reason=reason)
        else:
            left.append(facts)
    maps = [s for s in left if "field" in s.parts]
    left = _without_needless_coils(coils.marked([s for s in left if s not in maps]), decisions)
    with_phase = {
        (s.study_uid, s.geometry, s.echo_times)
        for s in left
        if s.parts - {"mag"} and not content.is_inversion_prepared(s)
    }
    anatomy = [
        s
        for s in left
        if content.is_inversion_prepared(s)
        # A name like "t1" does not make anatomy of a series that has a phase.
        or (content.is_t1w(s) and ("UNI" in s.tokens or (s.study_uid, s.geometry, s.echo_times) not in with_phase))
    ]
    _decide_t1w(anatomy, decisions)
    _decide_gre([s for s in left if s not in anatomy], decisions, field_maps)
    return decisions | decide_field_maps(maps, decisions)


def _skip(decisions: dict[str, Decision], members: Iterable[SeriesFacts], reason: str) -> None:
    for facts in members:
        decisions[facts.uid] = Decision(facts, reason=reason)


def _without_needless_coils(series: list[SeriesFacts], decisions: dict[str, Decision]) -> list[SeriesFacts]:
    """Skip images of single coil elements that are not needed."""
    reasons = {s.uid: coils.refuse(s, series) for s in series}
    decisions |= {s.uid: Decision(s, reason=reason) for s in series if (reason := reasons[s.uid])}
    return [s for s in series if not reasons[s.uid]]


def _decide_t1w(series: list[SeriesFacts], decisions: dict[str, Decision]) -> None:
    uni = [s for s in series if "UNI" in s.tokens]
    plain = [s for s in uni if not re.search(r"den", s.description, re.I)]
    if plain:
        _skip(decisions, [s for s in uni if s not in plain], "denoised copy of the MP2RAGE UNI image")
        uni = plain
    rest = [s for s in series if "UNI" not in s.tokens]
    of_uni = {(u.study_uid, u.protocol) for u in uni if u.protocol}
    for s in rest:
        if content.mp2rage_part(s) or (s.study_uid, s.protocol) in of_uni:
            _skip(decisions, [s], "MP2RAGE inversion image: only the combined UNI image is needed")
        elif len(s.echo_times) > 1 or s.parts != {"mag"}:
            _skip(decisions, [s], "echoes or phase of an inversion-prepared scan: not a T2*-weighted gradient echo")
    mprage = _drop_duplicates([s for s in rest if s.uid not in decisions], decisions)
    uni = _drop_duplicates(uni, decisions)
    _number_runs(mprage, "T1w", decisions)
    _number_runs(uni, "UNIT1", decisions)


def _number_runs(series: list[SeriesFacts], suffix: str, decisions: dict[str, Decision]) -> None:
    for number, s in enumerate(series, start=1):
        run = (("run", str(number)),) if len(series) > 1 else ()
        decisions[s.uid] = Decision(s, suffix, run)


def _drop_duplicates(series: list[SeriesFacts], decisions: dict[str, Decision]) -> list[SeriesFacts]:
    """Keep one of several reconstructions of the same acquisition: same time, parts and echoes, other ImageType."""
    kept: list[SeriesFacts] = []
    for s in sorted(series, key=lambda s: (_preference(s), s.number)):
        twin = next((k for k in kept if _is_other_reconstruction(s, k)), None)
        if twin is None:
            kept.append(s)
        else:
            _skip(decisions, [s], f"another reconstruction of series {twin.number}, which is used")
    return [s for s in series if s in kept]


def _preference(s: SeriesFacts) -> tuple[bool, bool, bool]:
    """Less processed images first: what the scanner corrected, combined or filtered again comes after the original."""
    return ("ASPIRE" in s.tokens or "DERIVED" in s.tokens, bool(s.tokens & {"DIS2D", "DIS3D"}), "NORM" in s.tokens)


def _is_other_reconstruction(a: SeriesFacts, b: SeriesFacts) -> bool:
    if a.study_uid != b.study_uid or a.tokens - _PART_TOKENS == b.tokens - _PART_TOKENS:
        return False
    if a.geometry[:3] != b.geometry[:3]:
        return False
    same_content = {slot_of(v) for v in a.volumes} == {slot_of(v) for v in b.volumes}
    if a.seconds is None or b.seconds is None:
        return same_content
    return same_content and abs(a.seconds - b.seconds) <= SAME_ACQUISITION_S


def _decide_gre(series: list[SeriesFacts], decisions: dict[str, Decision], field_maps: bool) -> None:
    incomplete = [d.facts for d in decisions.values() if d.reason.startswith("incomplete")]
    series = _drop_duplicates(series, decisions)
    groups: dict[tuple[object, ...], list[SeriesFacts]] = {}
    for s in series:
        groups.setdefault((s.geometry, _round(s.tr), s.flip, s.epi), []).append(s)
    by_suffix: dict[str, list[list[Acquisition]]] = {}  # suffix -> protocols -> repeated acquisitions
    for members in groups.values():
        kept = [a for a in acquisitions_of(members) if not _skip_acquisition(a, decisions, field_maps)]
        kept = [a for a in kept if not _skip_with_counterpart(a, incomplete, decisions)]
        for protocol in by_echoes(kept):
            suffix = "MEGRE" if len(protocol[0].echoes("mag", "phase", "real", "imag")) > 1 else "T2starw"
            by_suffix.setdefault(suffix, []).append(protocol)
    for suffix, protocols in by_suffix.items():
        _name_gre(suffix, protocols, decisions)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _skip_acquisition(a: Acquisition, decisions: dict[str, Decision], field_maps: bool) -> bool:
    """Skip field maps and acquisitions that lack something; return whether it was skipped."""
    magnitude, phase = a.echoes("mag"), a.echoes("phase")
    reason = ""
    if len(magnitude) == 2 and len(phase) == 1 and phase <= magnitude:
        reason = "phase-difference field map: two magnitudes, one difference of their phases"
    elif not field_maps and len(magnitude | phase) <= 2 and any(content.field_map_by_name(m) for m in a.series):
        reason = "field map, by its sequence or protocol name; another heuristic can take it as a gradient echo"
    elif phase and magnitude and phase != magnitude:
        reason = f"incomplete: magnitude has {len(magnitude)} echoes, phase {len(phase)}"
    elif a.echoes("real") != a.echoes("imag"):
        reason = "incomplete: real and imaginary images do not have the same echoes"
    elif a.parts == {"mag"}:
        reason = "gradient echo without phase images: QSM needs them"
    if reason:
        _skip(decisions, a.series, reason)
    return bool(reason)


def _skip_with_counterpart(a: Acquisition, incomplete: Sequence[SeriesFacts], decisions: dict[str, Decision]) -> bool:
    """Skip an acquisition when the other part of it is incomplete: half of it would be in the way of the whole."""
    mine = a.series[0]
    for other in incomplete:
        same_grid = all(mine.geometry[i] == other.geometry[i] for i in (0, 1, 3, 4))
        if same_grid and a.parts.isdisjoint(other.parts) and _same_time_and_protocol(a, other):
            _skip(decisions, a.series, f"incomplete: series {other.number} that belongs to it lacks images")
            return True
    return False


def _same_time_and_protocol(a: Acquisition, s: SeriesFacts) -> bool:
    first = a.series[0]
    same = first.protocol == s.protocol and first.study_uid == s.study_uid
    return same and seconds_between(a, s) <= SAME_ACQUISITION_S


def _name_gre(suffix: str, protocols: list[list[Acquisition]], decisions: dict[str, Decision]) -> None:
    firsts = [acquisitions[0].series[0] for acquisitions in protocols]
    labels = protocol_labels([first.protocol or first.description for first in firsts])
    for label, acquisitions in zip(labels, protocols, strict=True):
        runs = sum(a.repetitions for a in acquisitions)
        number = 0
        for a in acquisitions:
            number += 1
            echoes = sorted(a.echoes("mag", "phase", "real", "imag"), key=lambda e: e or 0.0)
            elements = coils.elements_of(a.series)
            for m in a.series:
                entities: tuple[tuple[str, str], ...] = (("acq", label),) if label else ()
                # A series with several repetitions gets its run numbers when its volumes are named.
                entities += (("run", str(number)),) if runs > 1 else ()
                if suffix == "MEGRE" and len(m.echo_times) == 1:
                    entities += (("echo", str(echoes.index(m.echo_times[0]) + 1)),)
                if m.of_coils and len(m.coils) == 1:
                    entities += (("coil", str(elements.index(m.coils[0]) + 1)),)
                if len(m.parts) == 1:
                    entities += (("part", next(iter(m.parts))),)
                decisions[m.uid] = Decision(m, suffix, entities, _note(a))
            number += a.repetitions - 1


def _note(a: Acquisition) -> str:
    elements = coils.elements_of(a.series)
    if elements:
        return f"uncombined images of {len(elements)} coil elements: level participant needs --set field.coils=combine"
    return "no magnitude images came with it" if a.parts == {"phase"} else ""
