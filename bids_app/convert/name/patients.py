"""Which subject and session a study belongs to: from a pattern, folder names, PatientID and StudyDate."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import PurePosixPath

from bids_app.convert.classify.identity import plain_uid
from bids_app.convert.model import ConvertRequest
from bids_app.convert.name.privacy import holds_name, short_hash
from bids_app.errors import UsageError

_PLACEHOLDER = re.compile(r"(anon\w*|unknown|none|null|no ?id|0*|x+|patient|deidentified|removed|n/?a)?$", re.I)
#: IDs that a scanner makes of date and time where nobody typed one: 24.01.31-10:15:00-STD-1.3.12.2.
_MADE_OF_TIME = re.compile(r"\d\d\.\d\d\.\d\d-\d\d:\d\d:\d\d-")
#: PatientIDs with more characters, and so many digits, are numbers of patients.
_SHORT_ID = 3
_SUBJECT_FOLDER = re.compile(r"sub-([A-Za-z0-9]+)$")
_SESSION_FOLDER = re.compile(r"ses-([A-Za-z0-9]+)$")


@dataclass(frozen=True)
class Study:
    """One examination, as far as naming needs it."""

    uid: str
    patient_id: str
    date: str  # YYYYMMDD or empty
    time: str
    folders: tuple[PurePosixPath, ...]  # folders of its files, relative to the folder given
    private_words: frozenset[str]  # words of patients' names


@dataclass(frozen=True)
class Place:
    """Where a study goes in the dataset."""

    subject: str
    session: str | None
    basis: str  # how the label was found, for the notes
    patient: str = ""  # hash that distinguishes patients
    original: str = ""  # what the label was made from, empty when it must not be written
    explicit: bool = False  # from a sub- folder or the user's pattern


def sanitise(text: str) -> str:
    """Return the letters and digits of a text: what BIDS allows in a label."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]", "", re.sub(r"^(sub|ses)-", "", ascii_text))


def compile_pattern(pattern: str | None, option: str) -> re.Pattern[str] | None:
    """Compile a user's regular expression; raises UsageError when it is none."""
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{option} {pattern!r} is not a regular expression: {error}") from error


def place_named(names: Mapping[str, tuple[str, str | None]]) -> tuple[dict[str, Place], list[str]]:
    """Return the places of studies whose subject and session are known, and sentences on labels that were not legal."""
    notes: list[str] = []
    places = {}
    for uid, (subject, session) in names.items():
        place = _made(subject, "table", subject, notes)
        places[uid] = replace(place, session=sanitise(session) or None if session else None)
    _separate_equal_labels(places, notes)
    return places, list(dict.fromkeys(notes))


def place_studies(
    studies: Sequence[Study], request: ConvertRequest, known: Mapping[str, Mapping[str, str | None]]
) -> tuple[dict[str, Place], list[str]]:
    """Return the place of every study by its UID, and sentences on what was not straightforward.

    ``known`` holds what earlier runs did: for each subject label, the session of each study (by hash of its UID).
    """
    notes: list[str] = []
    subject_pattern = compile_pattern(request.subject_pattern, "--subject-pattern")
    session_pattern = compile_pattern(request.session_pattern, "--session-pattern")
    places = {}
    for study in studies:
        place = _subject(study, subject_pattern, studies, notes)
        session = _explicit_session(study, session_pattern, subject_pattern)
        places[study.uid] = replace(place, session=session)
    _name_single(places, request, notes)
    _separate_equal_labels(places, notes)
    _date_sessions(studies, places, known, notes)
    return places, list(dict.fromkeys(notes))


def hidden_ids(studies: Sequence[Study], places: Mapping[str, Place]) -> frozenset[str]:
    """Return the PatientIDs that are numbers and have no part in the label of their participant.

    Whoever gives participants other labels does not want these numbers in descriptions and folder names either.
    """
    hidden = set()
    for study in studies:
        number, label = sanitise(study.patient_id).lower(), places[study.uid].subject.lower()
        is_number = len(number) > _SHORT_ID and sum(letter.isdecimal() for letter in number) >= _SHORT_ID
        if is_number and number not in label and label not in number:
            hidden.add(study.patient_id)
    return frozenset(hidden)


def match(pattern: re.Pattern[str], group: str, texts: Sequence[str]) -> str | None:
    """Return what a pattern finds in the first text that it matches: the named group, the first group or all."""
    for text in texts:
        hit = pattern.search(text)
        if hit:
            names = hit.groupdict()
            if group in names:
                return names[group]
            # A pattern with named groups for something else says nothing about this one.
            return None if names else hit.group(1 if pattern.groups else 0)
    return None


def _texts(study: Study) -> list[str]:
    return [str(f) for f in study.folders] + [study.patient_id]


def _subject(study: Study, pattern: re.Pattern[str] | None, studies: Sequence[Study], notes: list[str]) -> Place:
    patient = short_hash(study.patient_id or study.uid, 12)
    if pattern is not None:
        word = match(pattern, "subject", _texts(study))
        if not word or not sanitise(word):
            raise UsageError(
                f"--subject-pattern matches neither path nor PatientID of the study in {study.folders[0]!s}."
            )
        return _made(word, "--subject-pattern", patient, notes, explicit=True)
    for folder in study.folders:
        for part in folder.parts:
            if named := _SUBJECT_FOLDER.fullmatch(part):
                return Place(named.group(1), None, f"folder {part}", patient, part, explicit=True)
    private = holds_name(study.patient_id, study.private_words)
    timed = not private and _holds_scan_time(study)
    if not (private or timed or _PLACEHOLDER.fullmatch(study.patient_id)) and sanitise(study.patient_id):
        return _made(study.patient_id, "PatientID", patient, notes)
    why = "holds the patient's name" if private else "is empty or a placeholder"
    why = "is made of the date and time of the scan" if timed else why
    folder_name = _own_folder(study, studies, private or timed)
    if folder_name and sanitise(folder_name) and not holds_name(folder_name, study.private_words):
        notes.append(
            f"The PatientID in folder {folder_name!r} {why}: sub-{sanitise(folder_name)} is named after the folder."
        )
        # Without a usable PatientID the folder distinguishes patients.
        return replace(_made(folder_name, "folder name", patient, notes), patient=patient if private else folder_name)
    label = "P" + short_hash(study.patient_id or study.uid)
    notes.append(f"A PatientID {why}, and no folder is named after the subject: the label sub-{label} is made up.")
    return Place(label, None, "hash of the PatientID", patient)


def _holds_scan_time(study: Study) -> bool:
    """Return whether a PatientID holds date and time of the scan: it names nobody and should not be published."""
    if _MADE_OF_TIME.match(study.patient_id):
        return True
    digits, hour_and_minute = re.sub(r"\D", "", study.patient_id), study.time[:4]
    known = len(study.date) == 8 and len(hour_and_minute) == 4
    return known and any(date + hour_and_minute in digits for date in (study.date, study.date[2:]))


def _made(text: str, basis: str, patient: str, notes: list[str], explicit: bool = False) -> Place:
    label = sanitise(text)
    if label != re.sub("^sub-", "", text):
        notes.append(f"{basis} {text!r} is not a BIDS label; it became sub-{label}.")
    return Place(label, None, basis, patient, text, explicit)


def _own_folder(study: Study, studies: Sequence[Study], same_id_is_same_patient: bool) -> str | None:
    """Return the topmost folder that holds this patient's studies and no other patient's.

    Where all have the same placeholder for an ID, every study that lies elsewhere is another patient's.
    """
    others = [s for s in studies if s is not study]
    if same_id_is_same_patient:
        others = [s for s in others if s.patient_id != study.patient_id]
    first = study.folders[0]
    for depth in range(1, len(first.parts) + 1):
        folder = PurePosixPath(*first.parts[:depth])
        mine = all(folder in (f, *f.parents) for f in study.folders)
        if mine and not any(folder in (f, *f.parents) for s in others for f in s.folders):
            return folder.name
    return None


def _explicit_session(
    study: Study, pattern: re.Pattern[str] | None, subject_pattern: re.Pattern[str] | None
) -> str | None:
    if pattern is not None:
        word = match(pattern, "session", [*(str(f) for f in study.folders), study.date])
        return sanitise(word) or None if word else None
    if subject_pattern is not None and "session" in subject_pattern.groupindex:
        word = match(subject_pattern, "session", _texts(study))
        return sanitise(word) or None if word else None
    for folder in study.folders:
        for part in folder.parts:
            if named := _SESSION_FOLDER.fullmatch(part):
                return named.group(1)
    return None


def _name_single(places: dict[str, Place], request: ConvertRequest, notes: list[str]) -> None:
    """Give the label that the user names to the only subject, unless folders or a pattern name it already."""
    subjects = {p.subject for p in places.values()}
    labels = [sanitise(label) for label in request.participant_labels]
    if len(subjects) == 1 and len(labels) == 1 and labels[0] not in subjects:
        if any(p.explicit for p in places.values()):
            return
        notes.append(f"The only subject found is called sub-{labels[0]}, as --participant-label says.")
        for uid, place in places.items():
            places[uid] = replace(place, subject=labels[0], basis="--participant-label")


def _separate_equal_labels(places: dict[str, Place], notes: list[str]) -> None:
    """Make different patients' labels differ where sanitising (or a case-insensitive disk) would make them equal."""
    holders: dict[str, dict[str, str]] = defaultdict(dict)
    for place in places.values():
        if not place.explicit:
            holders[place.subject.lower()].setdefault(place.patient, place.original)
    for uid, place in places.items():
        patients = holders.get(place.subject.lower(), {})
        if len(patients) > 1 and not place.explicit and place.original != place.subject:
            label = place.subject + short_hash(place.patient, 4)
            notes.append(f"{place.original!r} and another ID both give sub-{place.subject}; this one is sub-{label}.")
            places[uid] = replace(place, subject=label)


def _date_sessions(
    studies: Sequence[Study], places: dict[str, Place], known: Mapping[str, Mapping[str, str | None]], notes: list[str]
) -> None:
    """Name sessions by StudyDate where a subject has more than one study; what earlier runs did stays."""
    by_subject: dict[str, list[Study]] = defaultdict(list)
    for study in studies:
        by_subject[places[study.uid].subject].append(study)
    for subject, members in by_subject.items():
        before = known.get(subject, {})
        new = []
        for study in members:
            key = _known_key(study, members, before)
            if key is not None:
                places[study.uid] = replace(places[study.uid], session=before[key])
            elif places[study.uid].session is None:
                new.append(study)
        if len({_known_key(s, members, before) or s.uid for s in members} | set(before)) < 2:
            continue
        taken = {label for label in [*before.values(), *(places[s.uid].session for s in members)] if label}
        for study in sorted(new, key=lambda s: (s.date, s.time, s.uid)):
            several = sum(s.date == study.date for s in members) > 1
            label = _session_label(study, several, taken)
            taken.add(label)
            places[study.uid] = replace(places[study.uid], session=label)
        if new:
            notes.append(f"sub-{subject} has more than one study: sessions are named by StudyDate.")
        if len({(s.date, s.time) for s in new}) < len(new):
            notes.append(
                f"sub-{subject} has several studies with the same date and time: each is a session of its own, and "
                "their order is not known. Name them with --session-pattern or folders called ses-LABEL."
            )


def _known_key(study: Study, members: Sequence[Study], before: Mapping[str, str | None]) -> str | None:
    """Return the hash by which an earlier run noted a study; it may have seen one holder of a shared UID alone."""
    plain = plain_uid(study.uid)
    alone = sum(plain_uid(s.uid) == plain for s in members) == 1
    return next((key for key in (short_hash(study.uid), *[short_hash(plain)] * alone) if key in before), None)


def _session_label(study: Study, several: bool, taken: Collection[str]) -> str:
    """Return a label that no other study of the subject has: the date, the date and time, or one of these numbered."""
    date, time = sanitise(study.date), sanitise(study.time)[:6]
    stamp = f"{date}T{time}" if date and time else date
    candidates = [stamp] if several else [date, stamp]
    numbered = (f"{stamp}n{k}" if stamp else str(k) for k in count(2 if stamp else 1))
    return next(label for label in chain(candidates, numbered) if label and label not in taken)
