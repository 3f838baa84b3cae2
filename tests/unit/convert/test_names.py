"""Subjects and sessions: from patterns, folders, PatientID and StudyDate; legal, different, and private."""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_app.convert.model import ConvertRequest
from bids_app.convert.name.patients import Study, place_named, place_studies, sanitise
from bids_app.convert.name.privacy import Redactor, name_words, short_hash
from bids_app.errors import UsageError

REQUEST = ConvertRequest(Path("bids"), Path("out"), Path("work"), dicom_dir=Path("dicom"))


def study(patient_id="P1", folder="scans", date="20240131", time="101500", words=(), uid=None):
    uid = uid or f"{patient_id}/{folder}/{date}/{time}"
    return Study(uid, patient_id, date, time, (PurePosixPath(folder),), frozenset(words))


def places(*studies, known=None, **options):
    placed, notes = place_studies(studies, replace(REQUEST, **options), known or {})
    return [(placed[s.uid].subject, placed[s.uid].session) for s in studies], " ".join(notes)


def test_patient_id_is_the_subject_and_one_study_needs_no_session():
    assert places(study("P1"), study("P2"))[0] == [("P1", None), ("P2", None)]


def test_several_studies_of_one_patient_are_sessions_by_date_and_by_time():
    first, second = study("P1", date="20240131"), study("P1", date="20250202")
    third = study("P1", date="20250202", time="170000")
    labels, notes = places(second, first, third)
    assert labels == [("P1", "20250202T101500"), ("P1", "20240131"), ("P1", "20250202T170000")]
    assert "more than one study" in notes


def test_session_of_an_earlier_run_stays():
    first, second = study("P1", date="20240131"), study("P1", date="20250202")
    known = {"P1": {short_hash(first.uid): "20240131"}}
    assert places(first, second, known=known)[0] == [("P1", "20240131"), ("P1", "20250202")]
    assert places(second, known=known)[0] == [("P1", "20250202")]


def test_bids_folders_win():
    assert places(study("P1", "x/sub-07/ses-pre/a"))[0] == [("07", "pre")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"subject_pattern": r"proband_(\d+)"}, ("12", None)),
        ({"subject_pattern": r"proband_(?P<subject>\d+)_(?P<session>v\d)"}, ("12", "v2")),
        ({"subject_pattern": r"[A-Z]+\d{3}"}, ("XY001", None)),  # in PatientID: no folder has it
        ({"session_pattern": r"v\d"}, ("XY001b", "v2")),
        ({"session_pattern": r"^\d{4}"}, ("XY001b", "2024")),
    ],
)
def test_patterns_search_folders_then_headers(options, expected):
    assert places(study("XY001b", "proband_12_v2/scan"), **options)[0] == [expected]


def test_pattern_that_matches_nothing_or_is_none_is_a_usage_error():
    for pattern, word in (("z+", "matches neither"), ("(", "is not a regular expression")):
        with pytest.raises(UsageError, match=word):
            places(study(), subject_pattern=pattern)


def test_placeholder_or_private_ids_give_way_to_folders():
    labels, notes = places(study("anonymous", "control 1/a"), study("anonymous", "control 2/a"))
    assert labels == [("control1", None), ("control2", None)]
    assert "'control 1' is not a BIDS label; it became sub-control1" in notes
    labels, notes = places(
        study("meier_1970", "case5/x", words=("meier",)), study("huber", "case6/x", words=("huber",))
    )
    assert labels == [("case5", None), ("case6", None)]
    assert "meier" not in notes and "holds the patient's name" in notes


@pytest.mark.parametrize(
    "patient", ["24.01.31-10:15:00-STD-1.3.12.2.1107.5.2.19", "20240131_101500", "anon-2401311015"]
)
def test_ids_made_of_the_time_of_the_scan_give_way_to_folders(patient):
    labels, notes = places(study(patient, "case5/x"), study("P2", "case6/x"))
    assert labels == [("case5", None), ("P2", None)]
    assert "is made of the date and time of the scan" in notes and patient not in notes
    ((label, _),) = places(study(patient, "scans"), study("P2", "scans"))[0][:1]
    assert label.startswith("P") and "1015" not in label and "0131" not in label


def test_ids_with_a_date_alone_are_labels():
    assert places(study("20240131A"))[0] == [("20240131A", None)]


def test_without_any_name_a_label_is_made_up_and_said():
    (label, _), *_ = places(study("Meier", "Meier", words=("meier",)))[0]
    assert re.fullmatch(r"P[0-9a-f]{8}", label)
    assert "made up" in places(study("Meier", "Meier", words=("meier",)))[1]


def test_ids_that_become_equal_stay_apart():
    labels, notes = places(study("S-1"), study("S1"), study("s_1"))
    assert len({subject.lower() for subject, _ in labels}) == 3
    assert labels[1] == ("S1", None)
    assert "both give" in notes or "another ID" in notes
    named, _ = place_named({"a": ("S-1", None), "b": ("S1", "x y"), "c": ("S1", "x y")})
    assert named["a"].subject != named["b"].subject == named["c"].subject == "S1"
    assert named["b"].session == "xy"


def test_participant_label_names_the_only_subject():
    assert places(study("P1"), participant_labels=("07",))[0] == [("07", None)]
    assert places(study("P1"), study("P2"), participant_labels=("07",))[0] == [("P1", None), ("P2", None)]


@given(st.text(max_size=30))
def test_sanitised_labels_are_legal(text):
    assert re.fullmatch(r"[A-Za-z0-9]*", sanitise(text))
    assert sanitise(sanitise(text)) == sanitise(text) or sanitise(text)[:3] in ("sub", "ses")


@given(st.text(alphabet=st.characters(categories=("Lu", "Ll")), min_size=3, max_size=12), st.text(max_size=20))
def test_redactor_leaves_no_word_of_a_name(name, around):
    words = name_words(name)
    redacted = Redactor(words)(f"{around}{name.upper()}{around}")
    assert not any(word in redacted.lower() for word in words if "x" not in word)


def test_redactor_sees_accents_and_structures():
    redact = Redactor(name_words("Müller^Zoë"))
    assert redact.value({"a": ["MULLER 1", "t1"], "b": 3}) == {"a": ["XXX 1", "t1"], "b": 3}
    assert redact("Zoe's scan of müller") == "XXX's scan of XXX"
    assert name_words("Test^Phantom 01") == frozenset()
    assert Redactor(name_words("Wang^Xiaodong=王^小東"))("t1 王小東, Wang") == "t1 王XXX, XXX"
