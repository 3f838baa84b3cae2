"""``--series``: what a person says of single series wins over headers and heuristics."""

import pytest

from bids_app.convert.model import FAILED, PLANNED, SKIPPED, SeriesOutcome
from bids_app.convert.name.series_table import read_series_table
from bids_app.errors import UsageError
from tests.helpers import dicom


@pytest.fixture
def table(tmp_path):
    def write(*rows):
        path = tmp_path / "series.tsv"
        path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


def names(outcome):
    return sorted(path.rpartition("/")[2].removesuffix(".nii.gz") for path in outcome.outputs)


def test_a_field_map_by_name_becomes_a_gradient_echo(planned, folder, table):
    names_of = dict.fromkeys(("SeriesDescription", "ProtocolName"), "gre_field_mapping")
    dicom.siemens_gre(folder, echo_times=(5.0, 10.0), **names_of)
    before = planned()
    assert {o.status for o in before.values()} == {SKIPPED}
    assert all("field map" in o.reason for o in before.values())
    after = planned(series_table=table(("description", "name"), ("gre_field*", "acq-fm_MEGRE")))
    assert {o.status for o in after.values()} == {PLANNED}
    assert sorted(name for o in after.values() for name in names(o)) == [
        f"sub-P001_acq-fm_echo-{echo}_part-{part}_MEGRE" for echo in (1, 2) for part in ("mag", "phase")
    ]
    assert all(o.reason == "named by --series" for o in after.values())


def test_a_part_that_no_header_says_is_given_and_the_rules_do_the_rest(planned, folder, table):
    silent = {"ImageType": ["ORIGINAL", "PRIMARY"]}
    for number, part in ((5, "M"), (6, "P")):
        dicom.plain_series(folder / part, number=number, description="gre_qsm", **silent)
    before = planned()
    assert {o.status for o in before.values()} == {SKIPPED}
    after = planned(series_table=table(("series", "part"), ("6", "phase")))
    assert {number: names(o) for number, o in after.items()} == {
        5: ["sub-P001_part-mag_T2starw"],
        6: ["sub-P001_part-phase_T2starw"],
    }
    assert after[6].reason == "phase by --series"


def test_a_series_that_is_left_out_leaves_its_place_to_another(planned, folder, table):
    dicom.siemens_gre(folder)
    dicom.mprage(folder, number=7)
    mprage = planned()[7]
    assert names(mprage) == ["sub-P001_T1w"]
    after = planned(series_table=table(("series_hash", "name"), (mprage.uid, "skip")))
    assert (after[7].status, after[7].reason) == (SKIPPED, "left out by --series")
    assert sum(o.status == PLANNED for o in after.values()) == 2


def test_two_series_of_one_name_are_refused_with_what_to_do(planned, folder, table):
    for number in (7, 8):
        dicom.mprage(folder / str(number), number=number)
    after = planned(series_table=table(("series", "name"), ("*", "T1w")))
    assert [o.status for o in after.values()].count(FAILED) == 1
    assert any("give one of them another name" in o.reason for o in after.values())


def test_a_series_of_several_parts_is_not_renamed_by_one_word(planned, folder, table):
    dicom.siemens_gre(folder, joint=True)
    (outcome,) = planned(series_table=table(("subject", "part"), ("sub-P001", "phase"))).values()
    assert outcome.status == FAILED
    assert outcome.reason == (
        "--series calls it phase, but its header says that it holds magnitude, phase; leave the part out"
    )


def test_later_rows_win_and_a_copy_of_the_report_is_a_table(table):
    path = table(
        ("subject", "session", "series", "status", "name", "part"),
        ("sub-1", "n/a", "*", "skipped", "skip", ""),
        ("sub-1", "", "3", "skipped", "T1w", "n/a"),
        ("sub-2", "ses-b", "3", "skipped", "", "phase"),
    )
    read = read_series_table(path)
    first = SeriesOutcome("1", None, 3, "mprage", "a", 8, SKIPPED, "")
    assert read.of(first) == ("T1w", "")
    assert read.of(SeriesOutcome("2", "b", 3, "gre", "a", 8, SKIPPED, "")) == ("", "phase")
    assert read.unused([first]) == [f"{path}, line 4: no series of these scans agrees with this row"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("series", "nmae"), ("3", "T1w")], "line 1: unknown column 'nmae'"),
        ([("series", "status"), ("3", "x")], "line 1: columns are missing"),
        ([("series", "name"), ("3", "MEGER")], "line 2: name is 'MEGER'"),
        ([("series", "name"), ("3", "sub-1_T1w")], "line 2: name is 'sub-1_T1w'"),
        ([("series", "part"), ("3", "magnitude")], "line 2: part is 'magnitude'"),
        ([("series", "part"), ("", "mag")], "line 2: does not say which series it is about"),
        ([("series", "part"), ("3", "mag", "x")], "line 2: has 3 cells, the header has 2"),
        ([], "line 1: columns are missing"),
    ],
)
def test_a_wrong_table_is_refused_in_one_sentence(table, rows, says):
    with pytest.raises(UsageError, match=says) as error:
        read_series_table(table(*rows))
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"--series: .*none\.tsv cannot be read: No such file"):
        read_series_table(tmp_path / "none.tsv")
