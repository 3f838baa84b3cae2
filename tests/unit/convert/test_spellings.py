"""Names in other spellings and broken encodings, and birth dates in every usual form, are blacked out."""

from types import SimpleNamespace

import pytest

from bids_app.convert.name.privacy import Redactor, birth_dates, words_of_patients
from bids_app.convert.name.spellings import date_pattern


def redactor(name, date="19700203"):
    instance = SimpleNamespace(values={"patient_id": "P1", "patient_name": name, "birth_date": date})
    return Redactor(words_of_patients([instance]), birth_dates([instance]))


@pytest.mark.parametrize("name", ["Müller^Jörg", "Mueller^Joerg", "Muller^Jorg", "MÃ¼ller^JÃ¶rg", "MÜLLER^JÖRG"])
@pytest.mark.parametrize(
    "text", ["gre_Müller", "MUELLER qsm", "scan of mÃ¼ller", "/data/Muller_1", "Mu\u0308ller", "JÖRG"]
)
def test_a_name_in_every_spelling(name, text):
    if name == "Muller^Jorg" and text not in ("/data/Muller_1", "gre_Müller", "JÖRG", "Mu\u0308ller"):
        return  # nothing says that a plain u was an umlaut
    redacted = redactor(name)(text)
    assert "XXX" in redacted and "ller" not in redacted.lower() and "rg" not in redacted.lower().replace("gre", "")


@pytest.mark.parametrize(
    "text",
    [
        "19700203",
        "born 1970-02-03",
        "1970/2/3",
        "3.2.1970",
        "03.02.70",
        "02/03/1970",
        "03-02-1970",
        "03021970",
        "700203",
        "3 Feb 1970",
        "3. Februar 1970",
        "February 3rd, 1970",
        "03feb1970",
        "1970 feb 3",
        "3_2_1970",
    ],
)
def test_a_birth_date_in_every_form(text):
    assert "XXX" in redactor("Doe^Jane")(f"a {text} b") and redactor("Doe^Jane")(f"a {text} b").startswith("a ")


@pytest.mark.parametrize("text", ["gre_3D_1970", "TE 3.2", "119700203", "t2_fl3d 0.7x0.7x0.7", "20240203"])
def test_other_numbers_stay(text):
    assert redactor("Doe^Jane")(text) == text


def test_what_is_no_date_is_no_pattern():
    assert date_pattern("") is None and date_pattern("19709999") is None and date_pattern("abc") is None
