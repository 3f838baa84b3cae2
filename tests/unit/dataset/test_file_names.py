"""Names that are not of BIDS are refused, data behind an image are named, and odd descriptions belong to others."""

import gzip

import pytest

from bids_app.dataset.checks import preflight
from bids_app.dataset.images import look_at
from bids_app.dataset.query import find_subjects


def problems(dataset, out=None):
    return preflight(find_subjects(dataset.root), dataset.root, out or dataset.root.parent / "out")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("acq-a\nb", r"'acq-a\nb' in its name is no entity of BIDS"),
        ("acq-1.5mm", "'acq-1.5mm' in its name is no entity of BIDS"),
        ("acq-a b", "'acq-a b' in its name is no entity of BIDS"),
        ("acq-é", "'acq-é' in its name is no entity of BIDS"),
        ("acq-", "'acq-' in its name is no entity of BIDS"),
        ("fine", "'fine' in its name is no entity of BIDS"),
        ("acq-a_acq-b", "its name has acq- 2 times; keep one of them"),
    ],
)
def test_every_part_of_a_name_is_an_entity(dataset, part, says):
    dataset.megre("sub-01")
    for path in sorted(dataset.root.glob("sub-01/anat/*")):
        path.rename(path.with_name(path.name.replace("sub-01_", f"sub-01_{part}_")))
    listed = problems(dataset)
    assert len([text for text in listed if says in text]) == 4
    assert not any("\n" in text for text in listed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda whole: whole + b"garbage", "has other data behind the end of the compressed image"),
        (lambda whole: whole + b"\0" * 4096 + b"x", "has other data behind the end of the compressed image"),
        (lambda whole: whole + b"\0" * 100_000, ""),
        (lambda whole: whole[:-9], "is damaged or truncated, data are missing at its end"),
        (lambda whole: whole + whole[:20], "is damaged or truncated, data are missing at its end"),
        (lambda whole: whole[:-8] + bytes(8), "is damaged, its compressed data or their checksum are wrong"),
    ],
)
def test_what_is_wrong_with_a_compressed_file(dataset, change, says):
    dataset.megre("sub-01")
    path = dataset.root / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz"
    path.write_bytes(change(gzip.compress(gzip.decompress(path.read_bytes()))))
    problem = look_at(path, is_phase=False).problem
    assert says in problem if says else not problem


@pytest.mark.parametrize(
    "description",
    ["null", "[]", '{"GeneratedBy": null}', '{"GeneratedBy": [null]}', "[" * 100_000, '{"GeneratedBy": {"Name": 1}}'],
)
def test_a_folder_with_an_odd_description_is_anothers(dataset, tmp_path, description):
    dataset.megre("sub-01")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset_description.json").write_text(description)
    assert any("holds another dataset" in text for text in problems(dataset))
