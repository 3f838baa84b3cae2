"""Ratings: what the page saves is read again, and nothing ambiguous is taken."""

import pytest

from bids_app.derivatives.ratings import Rating, ratings_path, read_ratings, write_rating
from bids_app.errors import InputRefusedError

HEADER = "participant_id\trun\trating\tnote\n"


def test_what_is_written_is_read(tmp_path):
    path = ratings_path(tmp_path)
    write_rating(path, Rating("sub-02", "exclude", "motion\tin all\nechoes"))
    write_rating(path, Rating("sub-01_ses-1", "good"))
    assert path.read_text().splitlines() == [
        HEADER.strip(),
        "sub-01\tsub-01_ses-1\tgood\tn/a",
        "sub-02\tsub-02\texclude\tmotion in all echoes",
    ]
    write_rating(path, Rating("sub-02", "usable"))
    ratings = read_ratings([path])
    assert ratings == {"sub-01_ses-1": Rating("sub-01_ses-1", "good"), "sub-02": Rating("sub-02", "usable")}


def test_columns_of_other_programs_stay(tmp_path):
    path = tmp_path / "ratings.tsv"
    path.write_text("run\trating\trater\nsub-01\tgood\tAB\n")
    write_rating(path, Rating("sub-02", "exclude"))
    assert path.read_text().splitlines()[1] == "n/a\tsub-01\tgood\tn/a\tAB"
    assert set(read_ratings([path])) == {"sub-01", "sub-02"}


def test_a_folder_holds_what_the_browser_saved(tmp_path):
    (tmp_path / "sub-01_rating.tsv").write_text(f"{HEADER}sub-01\tsub-01\tn/a\tstreaks\n")
    (tmp_path / "sub-01_rating (1).tsv").write_text(f"{HEADER}sub-01\tsub-01\texclude\tn/a\n")
    (tmp_path / "sub-02_rating.tsv").write_bytes(f"\ufeff{HEADER}sub-02\tsub-02\tn/a\tn/a\r\n\r\n".encode())
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\n")
    assert read_ratings([tmp_path]) == {"sub-01": Rating("sub-01", "exclude")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run,rating\nsub-01,good\n", "line 1: there is no column run and no column rating; tabs"),
        ("", "line 1: there is no column run"),
        ("run\trating\nsub-01\tbad\n", "line 2: a rating must be one of good, usable, exclude, not 'bad'"),
        ("run\trating\n01\tgood\n", "line 2: '01' is no run"),
        ("run\trating\nsub-01\n", "line 2: has 1 cells, the header has 2"),
        ("run\trating\nsub-01\tgood\nsub-01\texclude\n", "is rated 'exclude', but 'good' in"),
        ("participant_id\trun\trating\nsub-02\tsub-01\tgood\n", "participant_id sub-02 and run sub-01"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path, text, words):
    path = tmp_path / "ratings.tsv"
    path.write_text(text)
    with pytest.raises(InputRefusedError, match=words):
        read_ratings([path])


def test_a_table_that_cannot_be_read_is_not_replaced(tmp_path):
    path = tmp_path / "ratings.tsv"
    path.write_text("something else\n")
    with pytest.raises(InputRefusedError, match="line 1"):
        write_rating(path, Rating("sub-01", "good"))
    assert path.read_text() == "something else\n"
    with pytest.raises(InputRefusedError, match="cannot be read"):
        read_ratings([tmp_path / "other.tsv"])
