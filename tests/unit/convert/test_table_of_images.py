"""``--nifti-table``: a row that is wrong is named with its line, and no number is taken for another."""

import pytest

from bids_app.convert.scan.loose_sources import from_table
from bids_app.errors import UsageError

HEADER = "path\tsubject\tpart\techo\tEchoTime\tB0\n"


@pytest.fixture
def problems_of(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")

    def read(*rows):
        (tmp_path / "t.tsv").write_text(HEADER + "".join("\t".join(row) + "\n" for row in rows))
        problems = []
        from_table(tmp_path / "t.tsv", problems)
        return [f"{problem.path}: {problem.text}" if hasattr(problem, "text") else str(problem) for problem in problems]

    return read


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [
        (4, "0,005", "write 0.005; a comma separates numbers"),
        (4, "nan", "it is above 0"),
        (4, "-1", "it is above 0"),
        (4, "inf", "it is above 0"),
        (4, "five", "no number"),
        (4, "5", "looks like milliseconds"),
        (5, "3,0", "write 3.0"),
        (3, "0", "it is above 0"),
        (2, "magn", "part is 'magn'"),
        (1, " ", "the subject is empty"),
    ],
)
def test_a_cell_that_is_wrong_is_named_with_its_line(problems_of, column, text, says):
    row = ["a.nii", "A", "mag", "1", "0.005", "3"]
    row[column] = text
    (said,) = problems_of(row)
    assert "line 2" in said and says in said


def test_a_path_that_is_there_twice_is_named(problems_of):
    row = ["a.nii", "A", "mag", "1", "0.005", "3"]
    (said,) = problems_of(row, row)
    assert "line 3" in said and "is in line 2 already" in said


@pytest.mark.parametrize("content", [b"", HEADER.encode() + b"caf\xe9.nii\tA\tmag\t1\t0.005\t3\n"])
def test_a_table_that_cannot_be_read_says_why(tmp_path, content):
    (tmp_path / "t.tsv").write_bytes(content)
    with pytest.raises(UsageError, match=r"--nifti-table .*t\.tsv: is (empty|not UTF-8)"):
        from_table(tmp_path / "t.tsv", [])
