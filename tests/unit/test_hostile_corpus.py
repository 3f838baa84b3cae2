"""A corpus of bad files for every intake: images, sidecars, tables, filters, DICOM, archives.

Each entry has broken a reader somewhere. The answer is a result or a sentence without a library's words; a new one is
one line here.
"""

import gzip
import io
import struct
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest

from bids_app.adapters.itksnap import read_labels
from bids_app.cli.filters import read_filters
from bids_app.convert.scan.files import scan
from bids_app.dataset.checks import preflight
from bids_app.dataset.query import find_subjects, matches
from bids_app.errors import QsmAppError
from bids_app.group.table_checks import read_checked
from tests.unit.dataset.conftest import PLACE, Dataset

GOOD = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), PLACE).to_bytes()


def header(offset, form, *values):
    """Return the image with some fields of its header replaced."""
    content = bytearray(GOOD)
    struct.pack_into(f"<{form}", content, offset, *values)
    return bytes(content)


IMAGES = {
    "nothing": b"",
    "one byte": b"\x5c",
    "header alone": GOOD[:348],
    "half": GOOD[:400],
    "no dimensions": header(40, "h", 0),
    "minus one dimension": header(40, "h", -1),
    "99 dimensions": header(40, "h", 99),
    "negative size": header(42, "h", -3),
    "size 0": header(44, "h", 0),
    "larger than memory": header(42, "3h", 32767, 32767, 32767),
    "data at nan": header(108, "f", float("nan")),
    "data at 1e30": header(108, "f", 1e30),
    "data at -5": header(108, "f", -5.0),
    "no type": header(70, "h", 0),
    "unknown type": header(70, "h", 12345),
    "complex": header(70, "2h", 32, 64),
    "colours": header(70, "2h", 128, 24),
    "slope nan": header(112, "2f", float("nan"), float("nan")),
    "slope inf": header(112, "2f", float("inf"), 0.0),
    "slope 0": header(112, "2f", 0.0, 0.0),
    "sizes nan": header(80, "3f", float("nan"), float("nan"), float("nan")),
    "sform nan": header(280, "4f", *[float("nan")] * 4),
    "sform of zeros": header(280, "12f", *[0.0] * 12),
    "sform of 1e300": header(280, "4f", *[3e38] * 4),
    "other magic": header(344, "4s", b"abcd"),
    "header of 0 bytes": header(0, "i", 0),
    "other byte order": header(0, "i", 0x5C010000),
    "html": b"<html><body>404</body></html>" * 20,
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
}
SIDECARS = {
    "nothing": b"",
    "nul": b"\x00" * 40,
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "list": b"[1, 2]",
    "text": b'"EchoTime"',
    "null": b"null",
    "cut": b'{"EchoTime": 0.0',
    "comma": b'{"EchoTime": 0.005,}',
    "twice": b'{"EchoTime": 0.005, "EchoTime": "x"}',
    "lone surrogate": b'{"EchoTime": 0.005, "a": "\\ud800"}',
    "digits": b'{"EchoTime": ' + b"9" * 5000 + b"}",
    "utf-16": '{"EchoTime": 0.005}'.encode("utf-16"),
    "bad utf-8": b'{"EchoTime": 0.005, "a": "\xff\xfe\xfd"}',
    "two objects": b'{"EchoTime": 0.005}{"EchoTime": 0.01}',
    "values": b'{"EchoTime": {"a": 1}, "B0_dir": {"x": 1}, "MagneticFieldStrength": [3], "Units": {"a": []}}',
    "attribute": b'{"EchoTime": 0.005, "Units": "{0.__class__.__mro__}", "Manufacturer": "[kames2018] <script>"}',
}
TABLES = {
    "nothing": b"",
    "nul": b"index\tname\n\x00\t\x00\n",
    "one column": b"index\n1\n",
    "no rows": b"index\tname\tparticipant_id\n",
    "quotes": b'index\tname\tparticipant_id\n1\t"open\tsub-01\n2\t"b"\t"sub-02\n',
    "carriage returns": b"index\tname\tparticipant_id\r1\ta\tsub-01\r",
    "many cells": b"index\tname\tparticipant_id\n" + b"\t" * 5000 + b"\n",
    "long cell": b"index\tname\tparticipant_id\n1\t" + b"a" * 200_000 + b"\tsub-01\n",
    "digits": b"index\tname\tparticipant_id\n" + b"9" * 5000 + b"\ta\tsub-01\n",
    "utf-16": "index\tname\tparticipant_id\n1\ta\tsub-01\n".encode("utf-16"),
    "utf-16, cut": "index\tname\tparticipant_id\n1\ta\tsub-01\n".encode("utf-16")[:-1],
    "latin-1": b"index\tname\tparticipant_id\n1\tnoyau caud\xe9\tsub-01\n",
    "other digits": "index\tname\tparticipant_id\n\u0663\ta\tsub-01\n".encode(),
    "line separators": "index\tname\tparticipant_id\n1\ta\u2028b\tsub-01\n".encode(),
}
FILTERS = {
    "nothing": b"",
    "list": b"[]",
    "null": b'{"gre": null}',
    "value is an object": b'{"gre": {"acquisition": {"a": 1}}}',
    "value is a list of lists": b'{"gre": {"acquisition": [[1], {"a": 2}]}}',
    "digits": b'{"gre": {"run": ' + b"9" * 5000 + b"}}",
    "deep": b'{"gre":' * 20_000,
    "latin-1": b'{"gre": {"acquisition": "\xe9"}}',
    "attribute": b'{"gre": {"__class__": "x"}}',
}


def is_sentence(text):
    words = ("Traceback", "codec", "Errno", "NoneType", "object at 0x", "struct.", "zlib", "unhashable")
    assert text and len(text) < 2000 and not any(word in text for word in words), text


@pytest.fixture
def dataset(tmp_path):
    dataset = Dataset(tmp_path / "bids")
    dataset.megre("sub-01", echoes=1)
    return dataset


def answered(dataset):
    try:
        problems = preflight(find_subjects(dataset.root), dataset.root, dataset.root.parent / "out")
    except QsmAppError as error:
        problems = [str(error)]
    for text in problems:
        is_sentence(text)
    return problems


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_images(dataset, name, packed):
    path = dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.nii.gz"
    path.write_bytes(gzip.compress(IMAGES[name]) if packed else IMAGES[name])
    problems = answered(dataset)
    # Such a slope is none, by the standard; the length of the header says nothing that its magic does not say.
    if not (packed and name.startswith(("slope", "header of 0", "other byte order"))):
        assert any(path.name in text or "sub-01" in text for text in problems), problems


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecars(dataset, name):
    (dataset.root / "sub-01/anat/sub-01_echo-1_part-phase_MEGRE.json").write_bytes(SIDECARS[name])
    problems = answered(dataset)
    assert problems or name in ("lone surrogate", "bad utf-8", "utf-16", "attribute")


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    path = tmp_path / "table.tsv"
    path.write_bytes(TABLES[name])
    try:
        regions = read_labels(path)
        assert all(isinstance(index, int) and 0 < index < 10**10 and r.name for index, r in regions.items())
    except QsmAppError as error:
        is_sentence(str(error))
        assert str(path) in str(error)
    _, problems = read_checked(path, "participant_id")
    for text in problems:
        is_sentence(text)


@pytest.mark.parametrize("name", FILTERS)
def test_filters(tmp_path, name):
    path = tmp_path / "filter.json"
    path.write_bytes(FILTERS[name])
    try:
        filters = read_filters(path)
    except QsmAppError as error:
        is_sentence(str(error))
        return
    assert matches({"acquisition": "qsm", "run": 1}, filters["gre"]) is False


def tar_of(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for kind, name, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"data") if info.size else None)
    return stream.getvalue()


def zip_of(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("UP", ".."), content)
    return stream.getvalue()


SCANS = {
    "nothing.dcm": b"",
    "preamble.dcm": bytes(128) + b"DICM",
    "zeros.dcm": bytes(4096),
    "explicit length.dcm": bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xff\xff\xff\xff",
    "sequence.dcm": bytes(128) + b"DICM" + b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" * 300,
    "empty.zip": zip_of(),
    "cut.zip": zip_of(a=b"data")[:-10],
    "up.zip": zip_of(**{"UP__UP__made": b"data"}),
    "nested.zip": zip_of(a=zip_of(b=zip_of(c=b"data"))),
    "up.tar": tar_of((tarfile.REGTYPE, "../made", "")),
    "absolute.tar": tar_of((tarfile.REGTYPE, "/tmp/made-by-a-test", "")),
    "links.tar": tar_of(
        (tarfile.SYMTYPE, "a", "b"), (tarfile.SYMTYPE, "b", "a"), (tarfile.LNKTYPE, "c", "/etc/passwd")
    ),
    "devices.tar": tar_of((tarfile.FIFOTYPE, "fifo", ""), (tarfile.CHRTYPE, "null", ""), (tarfile.DIRTYPE, "d", "")),
    "twice.tar": tar_of((tarfile.REGTYPE, "a", ""), (tarfile.REGTYPE, "a", "")),
    "no name.tar": tar_of((tarfile.REGTYPE, "", "")),
    "not.tar.gz": b"\x1f\x8b" + bytes(40),
    "cut.tar.gz": gzip.compress(tar_of((tarfile.REGTYPE, "a", "")))[:-12],
}


@pytest.mark.parametrize("name", SCANS)
def test_dicom_and_archives(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(SCANS[name])
    before = set(tmp_path.parent.iterdir())
    scanned = scan(tmp_path / "in", tmp_path / "unpacked")
    for problem in scanned.problems:
        is_sentence(str(problem))
    assert not scanned.instances
    assert scanned.problems or scanned.others or scanned.duplicates or name == "empty.zip", (
        "a file that nobody accounts for"
    )
    assert set(tmp_path.parent.iterdir()) == before
    assert not (tmp_path / "made").exists() and not (tmp_path.parent / "made").exists()


def test_the_corpus_is_small():
    size = sum(len(content) for part in (IMAGES, SIDECARS, TABLES, FILTERS, SCANS) for content in part.values())
    assert size < 2_000_000
