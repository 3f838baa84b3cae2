"""Label tables as ITK-SNAP and BIDS write them."""

import pytest

from bids_app.adapters.itksnap import read_labels
from bids_app.errors import UsageError

SNAP = """################################################
# ITK-SnAP Label Description File
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "Left putamen"
    4     0    0  255      0.5  1  1    "lesion "
"""


def test_itksnap_and_tsv(tmp_path):
    (tmp_path / "a.txt").write_text(SNAP)
    regions = read_labels(tmp_path / "a.txt")
    assert next((r.index, r.name, r.hemisphere) for r in regions.values()) == (1, "putamen", "L")
    assert regions[4].name.strip() == "lesion"
    (tmp_path / "a.tsv").write_text("index\tname\n2\tright pallidum\n")
    assert read_labels(tmp_path / "a.tsv")[2].words == "right pallidum"


@pytest.mark.parametrize("text", ["", "hello\n", "index\tname\n", SNAP + "and more\n", "1;a\n"])
def test_what_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UsageError, match=r"a\.txt"):
        read_labels(tmp_path / "a.txt")
