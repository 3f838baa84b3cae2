"""Keep the patient's name out of everything that is written."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable

from bids_app.convert.name.spellings import date_pattern, repaired, spellings
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


def name_words(patient_name: str) -> frozenset[str]:
    """Return the words of a PatientName that may be a person's: three letters or more, not generic.

    Words of other scripts count from two letters on.
    """
    latin = frozenset(w for w in re.findall(r"[a-z]{3,}", plain(patient_name)) if w not in _GENERIC)
    return latin | {w for w in re.findall(r"[^\W\d_]{2,}", patient_name.casefold()) if not plain(w)}


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
    return frozenset(kept).union(*(spellings(word) for word in written if plain(word) in kept), *map(spellings, kept))


def birth_dates(instances: Iterable[Instance]) -> frozenset[str]:
    """Return the birth dates of all patients, as their headers have them."""
    return frozenset(str(i.values.get("birth_date", "")) for i in instances) - {""}


def holds_name(text: str, words: Iterable[str]) -> bool:
    """Return whether one of the words stands in the text, with or without accents and in any case."""
    folded = plain(text) + " " + text.casefold()
    return any(word in folded for word in words)


class Redactor:
    """Blacks out the words of patients' names, and their birth dates, in texts."""

    def __init__(self, words: Iterable[str], dates: Iterable[str] = ()):
        self.words = tuple(sorted(words, key=lambda word: (-len(word), word)))
        self.dates = tuple(pattern for date in sorted(dates) if (pattern := date_pattern(date)))

    def __call__(self, text: str) -> str:
        """Return the text with every name and birth date replaced by ``XXX``."""
        for pattern in self.dates:
            text = pattern.sub("XXX", text)
        if not holds_name(text, self.words):
            return text
        text = self._replace(text)
        if holds_name(text, self.words):  # behind accents: work on the plain letters
            text = self._replace(unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())
        return text

    def _replace(self, text: str) -> str:
        for word in self.words:
            text = re.sub(re.escape(word), "XXX", text, flags=re.IGNORECASE)
        return text

    def value(self, value: object) -> object:
        """Return a JSON value with all texts in it redacted."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, dict):
            return {key: self.value(v) for key, v in value.items()}
        return value


def short_hash(text: str, digits: int = 8) -> str:
    """Return a stable short name for an identity that must not be written."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
