"""Terms in the words and units of a paper, and records that belong to a command."""

import pytest

from bids_app.model.results import JobResult
from bids_app.model.step_record import StepRecord
from bids_app.report.group.current import Current, earlier_products, write_earlier
from bids_app.report.group.terms import groups_of, unit_of_term, words_of
from tests.helpers.group_study import write_step

LEVELS = {"group": ["control", "patient"], "site": ["A:1", "B"]}


@pytest.mark.parametrize(
    ("term", "words", "unit"),
    [
        ("age", "age", "ppm per year"),
        ("group[T.patient]", "group: patient against control", "ppm"),
        ("C(group)[T.patient]", "group: patient against control", "ppm"),
        ("C(group, Treatment(reference='patient'))[T.control]", "group: control against patient", "ppm"),
        ("age:group[T.patient]", "age × group: patient against control", "ppm per year"),
        ("site[T.A:1]", "site: A:1 against A:1", "ppm"),
        ("I(age ** 2)", "I(age ** 2)", "ppm per unit of I(age ** 2)"),
        ("Q('iron level')", "iron level", "ppm per unit of Q('iron level')"),
        ("sex[T.M]", "sex: M against the others", "ppm"),
        ("group[control]", "group[control]", "ppm"),
    ],
)
def test_terms_have_words_and_units(term, words, unit):
    assert words_of(term, LEVELS) == words
    assert unit_of_term(term, "ppm", {"age": "year"}) == unit


def test_dots_are_coloured_by_the_first_factor_of_the_model():
    rows = [
        {"run": f"r{n}", "age": str(20 + n), "sex": "FM"[n % 2], "group": "ab"[n // 2 % 2], "arm": str(n % 3)}
        for n in range(6)
    ]
    assert groups_of(rows, "chi ~ age + sex + group").column == "group"
    assert groups_of(rows, "chi ~ age + sex").column == "sex"
    assert groups_of(rows, "chi ~ age").column == "group"
    assert groups_of(rows, "chi ~ age + C(arm)").levels == ("0", "1", "2")
    assert groups_of([{"run": "r", "age": "2"}], "").number("r") == ""
    assert [groups_of(rows, "chi ~ sex").number(f"r{n}") for n in (0, 1, 9)] == ["0", "1", ""]


def test_a_record_belongs_to_the_command_that_made_or_confirmed_it():
    parameters = {"statistics": {"model": "chi ~ age", "fdr": 0.05}}
    record = StepRecord("model", "group", parameters=parameters)
    done = JobResult("group", "", skipped=["model"])
    expected = {"group": ("tables", "model")}
    assert Current(expected, {"group": done}, parameters).reason(record) == ""
    assert Current(None, {}, {}).reason(record) == ""
    assert "did not ask" in Current({"group": ("tables",)}, {}, parameters).reason(record)
    other = {"statistics": {"model": "chi ~ sex", "fdr": 0.05}}
    assert "other parameters" in Current(expected, {}, other).reason(record)
    assert "did not succeed" in Current(expected, {"group": JobResult("group", "")}, parameters).reason(record)


def test_maps_of_somebody_left_out_are_listed_until_they_are_gone(tmp_path):
    path = tmp_path / "sub-02/anat/sub-02_space-study_Chimap.nii.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"map")
    for name in ("sub-01", "sub-02"):
        write_step(tmp_path, name, "space", f"{name}_template", {"space_chimap@study": path}, started="2026-01-01")
    current = Current({"sub-01_template": ("space",)}, {}, {})
    rows = earlier_products(current, tmp_path)
    assert [(row["file"], row["step"]) for row in rows] == [(path.relative_to(tmp_path).as_posix(), "space")]
    write_earlier(rows, tmp_path)
    assert "sub-02_space-study_Chimap" in (tmp_path / "group_earlier.tsv").read_text()
    assert (tmp_path / "group_earlier.json").is_file()
    write_earlier([], tmp_path)
    assert not list(tmp_path.glob("group_earlier.*"))
