"""Names in other scripts and lost encodings, dates of other countries, old ages and numbers of patients are removed."""

from types import SimpleNamespace

import pytest

from bids_app.convert.name.patients import Place, Study, hidden_ids
from bids_app.convert.name.privacy import Redactor


def redactor(name, birth_date="19700203", patient_id="P1", age="054Y"):
    values = {"patient_id": patient_id, "patient_name": name, "birth_date": birth_date, "age": age}
    return Redactor.of([SimpleNamespace(values=values)])


@pytest.mark.parametrize(
    ("name", "texts"),
    {
        "Иванов^Пётр": ["Ivanov", "IWANOW", "Pjotr", "Petr", "ИВАНОВ", "Петр", "Ð˜Ð²Ð°Ð½Ð¾Ð²", "Èâàíîâ"],
        "Ivanov^Petr": ["Иванов", "ПЕТР"],
        "Παπαδόπουλος^Γιώργος": ["Papadopoulos", "papadopulos", "Yiorgos", "ΠΑΠΑΔΟΠΟΥΛΟΣ"],
        "PAPADOPOULOS^GIORGOS": ["Παπαδόπουλος", "ΓΙΩΡΓΟΣ"],
        "Yıldız^Işık": ["YILDIZ", "yildiz", "Yýldýz", "isik", "Y?ld?z", "Y%C4%B1ld%C4%B1z"],
        "Müller^Zoë": ["M&uuml;ller", "M?ller", "M=C3=BCller", "MÃƒÂ¼ller", "M\ufffdller", "MuÌˆller", "ZoÃ«"],
        "Østergård^Łoś": ["Oestergaard", "Ostergard", "£o¶", "loś"],
        "Li^Wu": ["Li", "WU"],
    }.items(),
)
def test_a_name_in_other_scripts_and_lost_encodings(name, texts):
    redact = redactor(name)
    for text in texts:
        assert redact(f"gre 1_{text}_2 b") == "gre 1_XXX_2 b", text


@pytest.mark.parametrize(
    "text",
    [
        "3.II.1970",
        "1970年2月3日",
        "3 февраля 1970",
        "3 Şubat 1970",
        "S45.2.3",
        "2513-02-03",
        "3 de febrero de 1970",
        "3 févr. 70",
        "lutego 3 1970",
        "3–2–1970",
        "03/FEB/70",
        "19700203120000",
    ],
)
def test_a_birth_date_of_every_country(text):
    assert redactor("Doe^Jane")(f"a {text} b") == "a XXX b"


def test_an_age_above_89_names_a_patient():
    old, young = redactor("Doe^Jane", age="093Y"), redactor("Doe^Jane")
    assert [old(text) for text in ("gre_093Y", "93 years, f", "T1 93")] == ["gre_XXX", "XXX, f", "T1 93"]
    assert young("gre_054Y") == "gre_054Y"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Li^Wu", "Liver, t1_vibe"),
        ("HC_01", "HC_01 gre"),
        ("de la Cruz^X", "Institut de Radiologie"),
        ("René^A", "children 12ch"),
        ("Doe^Jane", "TE 3.2, 3 Mar, II.1970"),
    ],
)
def test_other_words_stay(name, text):
    assert redactor(name, patient_id=name)(text) == text


def test_inner_objects_lose_their_private_fields():
    inner = {"PatientID": "x", "PatientPosition": "HFS", "RequestingPhysicianName": "y", "ReceiveCoilName": "c"}
    assert redactor("Doe^Jane").value({"const": [inner]}) == {
        "const": [{"PatientPosition": "HFS", "ReceiveCoilName": "c"}]
    }


def test_numbers_of_patients_are_hidden_where_participants_have_other_labels():
    studies = [Study("a", "12-3456-7", "", "", (), frozenset()), Study("b", "QSM_0012", "", "", (), frozenset())]
    assert hidden_ids(studies, {"a": Place("01", None, ""), "b": Place("0012", None, "")}) == {"12-3456-7"}
    assert hidden_ids(studies, {"a": Place("1234567", None, ""), "b": Place("QSM0012", None, "")}) == frozenset()
    redact = redactor("Doe^Jane").hiding({"12-3456-7"})
    assert redact("gre_12-3456-7 1234567 12_3456_7 x12345678") == "gre_XXX XXX XXX x12345678"
