"""Keep the patient's name out of everything that is written."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache

from bids_app.convert.name.spellings import bare, date_pattern, lost_letters, repaired, spellings, written_out
from bids_app.convert.name.transliteration import latin_pattern
from bids_app.convert.scan.header import Instance

#: Words in PatientName that name nobody.
_GENERIC = frozenset(
    {
        "sub",
        "subj",
        "subject",
        "pat",
        "patient",
        "pilot",
        "test",
        "testing",
        "phantom",
        "phan",
        "volunteer",
        "vol",
        "healthy",
        "control",
        "ctrl",
        "case",
        "study",
        "scan",
        "mri",
        "mrt",
        "qsm",
        "anon",
        "anonymous",
        "anonymised",
        "anonymized",
        "deidentified",
        "removed",
        "none",
        "null",
        "unknown",
        "nobody",
        "name",
        "not",
        "known",
        "male",
        "female",
        "quality",
        "participant",
        "person",
        "siemens",
        "philips",
        "canon",
        "toshiba",
        "uih",
        "demo",
        "example",
        "sample",
        "synthetic",
        "bids",
        "head",
        "brain",
    }
)
#: Words of two letters in PatientName that name nobody: particles, titles, numbers.
_PARTICLES = frozenset(
    ("al", "da", "de", "di", "do", "dr", "du", "el", "ii", "iv", "jr", "la", "le", "lo", "mr", "ms", "no", "of", "sr")
)
#: Sidecar fields that may hold a name or an identity; dcm2niix leaves most of them out by itself.
PRIVATE_FIELDS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "OtherPatientIDs",
    "OtherPatientNames",
    "AccessionNumber",
    "StudyID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "StudyDateTime",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "PhysiciansOfRecord",
    "InstitutionAddress",
    "DeviceSerialNumber",
    "ImageComments",
    "PatientComments",
)
#: Names of further fields of this kind, as DICOM's dictionary forms them.
_PRIVATE = re.compile(
    r"(Other)?Patients?(?!Position$|Orientation$)\w+|\w*(Physicians?|Operators?|Person|Creator|Observer|Reviewer)\w*Name"
    r"|\w*(Birth|Address|Telephone|MilitaryRank|EthnicGroup|Occupation)\w*|Issuer\w*ID|\w*AdmissionID"
)
#: Fields that hold codes and no free text: a patient called Philips does not change the manufacturer.
CODED_FIELDS = (
    "Manufacturer",
    "ImageType",
    "Modality",
    "MRAcquisitionType",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "PatientPosition",
    "PulseSequenceType",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
    "Units",
)


def plain(text: str) -> str:
    """Return text in lower-case ASCII, accents removed."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()


def is_private(field: str) -> bool:
    """Return whether a field of a sidecar may hold a name or an identity."""
    return field in PRIVATE_FIELDS or _PRIVATE.fullmatch(field) is not None


def name_words(patient_name: str) -> frozenset[str]:
    """Return the words of a PatientName that may be a person's: three letters or more, not generic.

    Words of other scripts count from two letters on.
    """
    latin = {w for form in (plain, written_out) for w in re.findall(r"[a-z]{3,}", form(patient_name))} - _GENERIC
    return frozenset(latin) | {w for w in re.findall(r"[^\W\d_]{2,}", patient_name.casefold()) if not plain(w)}


def words_of_patients(instances: Collection[Instance]) -> frozenset[str]:
    """Return the words of all patients' names.

    A word that several patients share, and that stands in their PatientID as well, is a study code and no name.
    """
    holders: dict[str, set[str]] = defaultdict(set)
    in_id: dict[str, bool] = defaultdict(lambda: True)
    for patient_id, patient_name in {(i.values["patient_id"], i.values["patient_name"]) for i in instances}:
        for word in name_words(patient_name) | name_words(repaired(patient_name)):
            holders[word].add(patient_id)
            in_id[word] &= word in plain(patient_id)
    kept = {word for word, ids in holders.items() if not (len(ids) > 1 and in_id[word])}
    written = {w for i in instances for w in re.findall(r"[^\W\d_]{3,}", repaired(i.values["patient_name"]))}
    names = [word for word in written if {plain(word), written_out(word)} & kept]
    return frozenset(kept).union(*map(spellings, (*names, *kept)))


def short_words(instances: Iterable[Instance]) -> frozenset[str]:
    """Return the Latin words of two letters of patients' names (Li, Wu): in texts they count as whole words alone.

    A word that stands in the patient's own PatientID is a code of the study and no name.
    """
    people = {(i.values["patient_id"], i.values["patient_name"]) for i in instances}
    return frozenset(
        word
        for patient_id, name in people
        for word in re.findall(r"(?<![a-z])[a-z]{2}(?![a-z])", plain(name))
        if word not in _PARTICLES and word not in plain(patient_id)
    )


def birth_dates(instances: Iterable[Instance]) -> frozenset[str]:
    """Return the birth dates of all patients, as their headers have them."""
    return frozenset(str(i.values.get("birth_date", "")) for i in instances) - {""}


def ages_above_89(instances: Iterable[Instance]) -> frozenset[int]:
    """Return the ages (years) of patients that are so old that their age names them."""
    ages = (re.fullmatch(r"(\d{1,3})Y", str(i.values.get("age", "")).strip()) for i in instances)
    return frozenset(int(age[1]) for age in ages if age and int(age[1]) > 89)


@lru_cache(maxsize=8)
def _other_spellings(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return the pattern of words with letters beyond ASCII: in Latin letters, and with these letters lost."""
    patterns = {pattern for word in words for pattern in (_latin(word), lost_letters(word)) if pattern}
    return re.compile("|".join(sorted(patterns)), re.IGNORECASE) if patterns else None


def _latin(word: str) -> str:
    """Return the pattern of a Cyrillic or Greek word in Latin letters; a short one is a whole word."""
    pattern = latin_pattern(word)
    return rf"(?<![a-z]){pattern}(?![a-z])" if pattern and len(word) < 4 else pattern


def _in_other_script(text: str, words: Collection[str]) -> str:
    """Return the text without names in other scripts: a Latin name in Cyrillic or Greek, or one without its marks."""

    def replaced(word: re.Match[str]) -> str:
        pattern, letters = latin_pattern(word[0]), bare(word[0])
        is_name = pattern and any(name in letters or re.fullmatch(pattern, name) for name in words)
        return "XXX" if is_name else word[0]

    return text if text.isascii() else re.sub(r"[^\W\d_]{2,}", replaced, text)


def holds_name(text: str, words: Iterable[str]) -> bool:
    """Return whether one of the words stands in the text, with or without accents, in any case and other spellings."""
    words = tuple(words)
    folded = plain(text) + " " + text.casefold()
    if any(word in folded for word in words):
        return True
    others = _other_spellings(words)
    return bool(others and others.search(text)) or _in_other_script(text, words) != text


class Redactor:
    """Blacks out what names a patient in texts: names, birth dates, ages above 89, and IDs that are not published.

    Parameters
    ----------
    words : iterable of str
        Words of names, in every spelling (:func:`words_of_patients`).
    dates : iterable of str
        Birth dates (YYYYMMDD).
    short : iterable of str
        Words of names that are whole words alone (:func:`short_words`).
    ages : iterable of int
        Years.
    ids : iterable of str
        PatientIDs.
    """

    def __init__(
        self,
        words: Iterable[str],
        dates: Iterable[str] = (),
        short: Iterable[str] = (),
        ages: Iterable[int] = (),
        ids: Iterable[str] = (),
    ):
        self.words = tuple(sorted(words, key=lambda word: (-len(word), word)))
        self._parts = (tuple(dates), tuple(short), tuple(ages))
        patterns = [pattern for date in sorted(dates) if (pattern := date_pattern(date))]
        bounded = [rf"(?<![a-z]){word}(?![a-z])" for word in sorted(short)]
        bounded += [rf"(?<!\d)0*{age}[ -]?(?:y(?:ears?|rs?|o)?|jahre?|a(?:[ns]{2})?)(?![a-z])" for age in sorted(ages)]
        bounded += [rf"(?<![a-z0-9]){_id_pattern(text)}(?![a-z0-9])" for text in sorted(ids, key=len, reverse=True)]
        self._patterns = (*patterns, *(re.compile(text, re.IGNORECASE) for text in bounded))

    @classmethod
    def of(cls, instances: Collection[Instance]) -> "Redactor":
        """Return the redactor of all patients of these files."""
        return cls(
            words_of_patients(instances), birth_dates(instances), short_words(instances), ages_above_89(instances)
        )

    def hiding(self, ids: Iterable[str]) -> "Redactor":
        """Return a redactor that blacks out these PatientIDs too."""
        return Redactor(self.words, *self._parts, ids)

    def __call__(self, text: str) -> str:
        """Return the text with every name, birth date, age and ID replaced by ``XXX``."""
        for pattern in self._patterns:
            text = pattern.sub("XXX", text)
        if not holds_name(text, self.words):
            return text
        text = _in_other_script(self._replace(text), self.words)
        if holds_name(text, self.words):  # behind accents: work on the plain letters
            text = self._replace(unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())
        return text

    def _replace(self, text: str) -> str:
        for word in self.words:
            text = re.sub(re.escape(word), "XXX", text, flags=re.IGNORECASE)
        others = _other_spellings(self.words)
        return others.sub("XXX", text) if others else text

    def value(self, value: object) -> object:
        """Return a JSON value with all texts in it redacted, and without private fields in its inner objects."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, dict):
            return {self(key): self.value(v) for key, v in value.items() if not is_private(key)}
        return value


def _id_pattern(text: str) -> str:
    """Return the pattern of a PatientID with other separators between its parts, or without them."""
    return r"[-_. ]?".join(map(re.escape, re.findall(r"[^\W_]+", text)))


def short_hash(text: str, digits: int = 8) -> str:
    """Return a stable short name for an identity that must not be written."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
