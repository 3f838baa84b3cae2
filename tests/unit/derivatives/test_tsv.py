"""Tables that users write: what is wrong is named with its line and its column, and nothing is taken silently."""

import pytest

from bids_app.adapters.itksnap import read_labels
from bids_app.adapters.labels import read_table
from bids_app.derivatives.tsv import TableError, read_tsv
from bids_app.errors import UsageError

GOOD = "index\tname\themisphere\n1\tputamen\tL\n2\tcaudate\tR\n"


def test_spaces_marks_and_empty_lines_do_no_harm(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('\ufeffindex\tname\n 1 \t "putamen" \n\n2.0\tcaudate\t\n')
    regions = read_table(path)
    assert {index: region.name for index, region in regions.items()} == {1: "putamen", 2: "caudate"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty (0 bytes)"),
        (GOOD.replace("\t", ",").encode(), "line 1: there is no column index; columns are separated by tabs"),
        (GOOD.replace("\t", ";").encode(), "line 1: there is no column index; columns are separated by tabs"),
        (b"index\tlabel\n1\ta\n", "line 1: there is no column name"),
        (b"index\tname\tname\n1\ta\tb\n", "line 1: column 'name' is there twice"),
        (GOOD.encode().replace(b"caudate", b"noyau caud\xe9"), "is not UTF-8; save it as UTF-8"),
        (GOOD.encode("utf-16"), "is not UTF-8"),
        (GOOD.replace("2\t", "1\t").encode(), "line 3, column index: label 1 is in line 2 already"),
        (GOOD.replace("2\t", "2,5\t").encode(), "line 3, column index: '2,5' is no whole number; decimal commas"),
        (GOOD.replace("2\t", "2.5\t").encode(), "line 3, column index: '2.5' is no whole number"),
        (GOOD.replace("2\t", "two\t").encode(), "line 3, column index: 'two' is no whole number"),
        (GOOD.replace("2\t", "-2\t").encode(), "line 3, column index: -2 is below 0"),
        (GOOD.replace("2\t", "9" * 400 + "\t").encode(), "line 3, column index"),
        (GOOD.replace("2\t", "n/a\t").encode(), "line 3, column index: '' is no whole number"),
        (GOOD.replace("caudate", " ").encode(), "line 3, column name: is empty; give label 2 a name"),
        (GOOD.replace("caudate\t", "caudate").encode(), "line 3: has 2 cells, the header has 3"),
        (b"/annex/objects/MD5E-s35--d41d8cd98f00b204e9800998ecf8427e.tsv\n", "is a pointer, its content is not here"),
        (b"index\tname\x00\n\x00", "line 1: there is no column name"),
    ],
)
def test_a_label_table_is_refused_with_file_line_and_column(tmp_path, content, says):
    path = tmp_path / "sub-01_dseg.tsv"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_table(path)
    assert f"{path} is no label table: " in str(caught.value) and says in str(caught.value)
    assert "\n" not in str(caught.value) and "codec" not in str(caught.value)
    with pytest.raises(UsageError) as caught:  # --group-labels, which may be a table of ITK-SNAP too
        read_labels(path)
    assert str(path) in str(caught.value) and "codec" not in str(caught.value)


def test_the_line_of_itk_snap_is_named(tmp_path):
    path = tmp_path / "labels.txt"
    line = ' 3 0 0 0 1 1 1 "caudate"\n'
    path.write_text("# comment\n" + line + line)
    with pytest.raises(UsageError, match=r"labels.txt: line 3: label 3 is in line 2 already"):
        read_labels(path)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TableError, match="is not there"):
        read_tsv(tmp_path / "none.tsv", ("index",))
