"""Tables of participants and sessions: every cell that is taken for something else is named by line and column."""

import json

import pandas as pd
import pytest

from bids_app.errors import QsmAppError
from bids_app.group.statistics import design_of
from bids_app.group.table_checks import check_tables, read_checked
from bids_app.group.tables import read_covariates

_ROWS = ("sub-01\t27.5\tpatient", "sub-02\tn/a\tcontrol", "sub-03\t31\tcontrol", "sub-04\t40\tcontrol")
GOOD = "\n".join(["participant_id\tage\tgroup", *_ROWS, ""])


def problems(folder, text, encoding="utf-8", dictionary=None):
    path = folder / "participants.tsv"
    path.write_bytes(text.encode(encoding))
    if dictionary:
        path.with_suffix(".json").write_text(json.dumps(dictionary))
    return check_tables(path, ())


def test_a_good_table(tmp_path):
    assert problems(tmp_path, GOOD) == []
    assert problems(tmp_path, GOOD, "utf-8-sig") == []
    table = read_covariates(tmp_path / "participants.tsv", (), ())
    assert table.of_participant["01"] == {"age": "27.5", "group": "patient"}
    assert table.of_participant["02"]["age"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("27.5", "27,5"), "line 2, column age: '27,5' is no number, as the others are; write 27.5"),
        (GOOD.replace("31", "old"), "line 4, column age: 'old' is no number"),
        (GOOD.replace("sub-03", "sub-01"), "line 4: sub-01 is in line 2 already"),
        (GOOD + "sub-01\t27.5\tpatient\n", "line 6: sub-01 is in line 2 already"),
        (
            GOOD.replace("\n", "\r\n").replace("\t", ","),
            "there is no column participant_id; columns are separated by tabs",
        ),
        (GOOD.replace("\tpatient", ""), "line 2: has 2 cells, the header has 3"),
        (GOOD.replace("group", "age"), "column 'age' is there twice"),
        (GOOD.replace("sub-03", "Sub-03"), "line 4: Sub-03 is nobody's label: BIDS writes sub- in lower case"),
        (GOOD.replace("sub-03", " "), "line 4: participant_id is empty"),
        ("", "0 bytes"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(tmp_path, text, says):
    listed = problems(tmp_path, text)
    assert len(listed) == 1 and listed[0].startswith("participants.tsv: ") and says in listed[0], listed


def test_other_encodings_are_refused(tmp_path):
    (problem,) = problems(tmp_path, GOOD.replace("patient", "H\xf4pital"), "latin-1")
    assert "is not UTF-8" in problem and "iconv -f latin1" in problem
    (problem,) = problems(tmp_path, GOOD, "utf-16")
    assert "iconv -f utf-16" in problem


def test_ages_above_89_are_numbers_as_the_conversion_writes_them(tmp_path):
    assert problems(tmp_path, GOOD.replace("31", "89+")) == []
    rows, _ = read_checked(tmp_path / "participants.tsv", "participant_id")
    assert [row["age"] for row in rows] == ["27.5", None, "89", "40"]


def test_the_dictionary_says_what_is_a_number(tmp_path):
    mixed = GOOD.replace("27.5", "young").replace("31", "young").replace("40", "3")
    assert problems(tmp_path, mixed) == []
    assert len(problems(tmp_path, mixed, dictionary={"age": {"Units": "year"}})) == 2
    assert problems(tmp_path, GOOD.replace("31", "x"), dictionary={"age": {"Levels": {"x": "unknown"}}}) == []


def test_a_factor_of_one_level_does_not_leave_the_model_without_a_word():
    data = pd.DataFrame({"chi": [1.0, 2, 3, 4], "age": [1.0, 3, 2, 5], "group": ["a"] * 4})
    with pytest.raises(QsmAppError, match="column group is the same for all participants"):
        design_of(data, "chi ~ age + group")


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("y ~ I(x / 0)", "no finite value"),
        ("y ~ exp(exp(exp(x)))", "no finite value"),
        ("y ~ sqrt(0 - x)", "no participant has a value of every term"),
        ("y ~ bs(x, df=1)", "df of bs and cr is at least its degree"),
    ],
)
def test_terms_that_the_data_do_not_fit_are_explained(formula, says):
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0, 3.0], "x": [36.0, 40.0, 50.0, 45.0]})
    with pytest.raises(QsmAppError, match=says):
        design_of(data, formula)
