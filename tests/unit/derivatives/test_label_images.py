"""Labels are whole numbers, each with one name and one column."""

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters.labels import Region, find, from_rows, lookup_rows, named
from bids_app.derivatives.files import read_label_image, write_table
from bids_app.derivatives.tsv import table_rows
from bids_app.errors import QsmAppError
from bids_app.group.statistics import read_long
from bids_app.group.tables import Covariates, Run, read_covariates, read_rows, wide_table
from bids_app.steps.participant.segmentations import regions_in


def image(folder, data):
    path = folder / "x_dseg.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([2, 2, 2, 1])), path)
    return path


def test_labels_are_read_as_they_are_stored(tmp_path):
    for kind in (np.uint8, np.int16, np.int32, np.float32):
        data = np.arange(27).reshape(3, 3, 3).astype(kind)
        labels, _ = read_label_image(image(tmp_path, data))
        assert labels.dtype == np.int32 and np.array_equal(labels, np.arange(27).reshape(3, 3, 3))


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (1.5, np.float32, "not whole .1.5."),
        (np.nan, np.float32, "not whole"),
        (2**24 + 1, np.int32, "round together"),
        (2**24 + 2, np.float64, "round together"),
        (-1, np.int16, "labels below 0 .-1."),
        (-2.0, np.float32, "labels below 0 .-2."),
    ],
)
def test_what_is_no_label_is_refused(tmp_path, value, kind, says):
    data = np.zeros((3, 3, 3), kind)
    data[1, 1, 1] = value
    with pytest.raises(QsmAppError, match=says):
        read_label_image(image(tmp_path, data))


def test_several_volumes_are_no_segmentation(tmp_path):
    with pytest.raises(QsmAppError, match="has 4 dimensions; a segmentation is one 3D image"):
        read_label_image(image(tmp_path, np.zeros((3, 3, 3, 2), np.int16)))
    assert read_label_image(image(tmp_path, np.zeros((3, 3, 3, 1), np.int16)))[0].shape == (3, 3, 3)


def test_labels_of_one_name_get_their_number():
    table = {1: Region(1, "Putamen", "L"), 2: Region(2, "putamen", "L"), 3: Region(3, "putamen", "R")}
    regions = named(table, [1, 2, 3])
    names = {index: (region.name, region.hemisphere) for index, region in regions.items()}
    assert names == {1: ("Putamen (label 1)", "L"), 2: ("putamen (label 2)", "L"), 3: ("putamen", "R")}
    assert find(regions, "putamen") == (1, 2, 3) and find(regions, "left putamen") == (1, 2)


@pytest.mark.parametrize("name", ['"putamen', 'a"b', '"', "'x", "=1+1", "a\u2028b", "$\\foo$", "#red", "NA", "null"])
def test_names_with_marks_of_tables_stay_one_cell(tmp_path, name):
    """A quote begins nothing in a table of BIDS: with it rows would run together."""
    rows = lookup_rows([Region(1, name), Region(2, "caudate"), Region(3, "pallidum")])
    path = tmp_path / "x_dseg.tsv"
    write_table(path, rows)
    expected = [" ".join(name.split()), "caudate", "pallidum"]
    assert [row["name"] for row in table_rows(path)] == expected
    assert [region.name for region in regions_in(tmp_path / "x_dseg.nii.gz").values()] == expected
    keys = {"participant_id": "sub-01", "session_id": None, "run": "sub-01"}
    write_table(path, [keys | row | {"chi_mean": 0.1} for row in rows])
    assert list(read_long(path)["name"]) == expected
    assert [row["name"] for row in read_rows(path)] == [None if name == "NA" else expected[0], *expected[1:]]


def test_an_index_has_one_name():
    with pytest.raises(ValueError, match=r"label 3 twice \(putamen, pallidum\)"):
        from_rows([{"index": "3", "name": "putamen"}, {"index": "3", "name": "pallidum"}])


def test_a_column_of_participants_that_is_called_like_a_region_keeps_its_values():
    row = {"index": 1, "name": "putamen", "hemisphere": "L", "chi_mean": 0.5}
    covariates = Covariates(
        {"chi_mean_left_putamen": {"Description": "by hand"}}, {"01": {"chi_mean_left_putamen": "7"}}
    )
    (line,), columns = wide_table([Run("01", None, "sub-01", rows=(row,))], covariates)
    assert (line["participant_chi_mean_left_putamen"], line["chi_mean_left_putamen"]) == ("7", 0.5)
    assert columns["participant_chi_mean_left_putamen"] == {"Description": "by hand"}


def test_a_column_that_gets_another_name_takes_nobodys(tmp_path):
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tname\tparticipant_name\nsub-01\ta\tb\n")
    covariates = read_covariates(table, [], ("name",))
    assert covariates.of_participant["01"] == {"participant_participant_name": "a", "participant_name": "b"}


def test_names_that_read_alike_have_columns_of_their_own():
    rows = [
        {"index": k, "name": name, "hemisphere": "n/a", "chi_mean": float(k)}
        for k, name in ((1, "GPi-a"), (2, "GPi a"))
    ]
    table, columns = wide_table([Run("01", None, "sub-01", rows=tuple(rows))], Covariates())
    assert [table[0][name] for name in columns if name.startswith("chi_mean")] == [1.0, 2.0] and len(columns) == 2
