"""Archives that are damaged, hostile or odd: every loss is named, and the rest is used."""

import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest

from bids_app.convert.scan import archives
from bids_app.convert.scan.files import find_files

CONTENT = {f"scan/{n:02d}.dcm": bytes([n]) * 3000 for n in range(10)}


def tar_bytes(mode="w", content=CONTENT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as opened:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            opened.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zip_bytes(content=CONTENT, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as opened:
        for name, data in content.items():
            opened.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def read(tmp_path):
    """Return a function that unpacks one archive and gives its files by their place, and the problems."""

    def find(name, content):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / name).write_bytes(content)
        (tmp_path / "out").mkdir()
        problems = []
        located = find_files(tmp_path / "in", tmp_path / "out", problems)
        assert all(tmp_path / "out" in item.path.resolve().parents for item in located)
        assert {p.name for p in tmp_path.iterdir()} == {"in", "out"}
        return {str(item.logical): item.path.read_bytes() for item in located}, problems

    return find


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", tar_bytes()),
        ("a.tar.gz", tar_bytes("w:gz")),
        ("a.tar.bz2", tar_bytes("w:bz2")),
        ("a.tar.xz", tar_bytes("w:xz")),
        ("a.zip", zip_bytes()),
        ("a.zip", zip_bytes(method=zipfile.ZIP_LZMA)),
    ],
)
def test_whole_archives(read, name, content):
    files, problems = read(name, content)
    assert files == {f"a/{key}": value for key, value in CONTENT.items()} and problems == []


def test_a_single_compressed_dicom_file_is_read(read):
    files, problems = read("im.dcm.gz", gzip.compress(b"content"))
    assert files == {"im.dcm.gz": b"content"} and problems == []


def test_a_single_compressed_dicom_file_that_is_cut_short_is_named(read):
    files, problems = read("im.IMA.gz", gzip.compress(bytes(range(250)) * 40)[:-9])
    assert files == {} and [p.path for p in problems] == ["im.IMA.gz"]
    assert "cannot be decompressed to its end" in problems[0].reason


@pytest.mark.parametrize("ending", [".tar", ".tar.gz"])
def test_a_broken_header_in_a_tar_is_no_end(read, ending):
    content = bytearray(tar_bytes())
    content[4 * 3584 : 4 * 3584 + 100] = b"\xff" * 100  # the fifth member: 512 of header and 3072 of data each
    files, problems = read(f"a{ending}", gzip.compress(bytes(content)) if ending == ".tar.gz" else bytes(content))
    assert sorted(files) == [f"a/scan/{n:02d}.dcm" for n in range(4)]
    assert len(problems) == 1 and problems[0].path == f"a{ending}" and "a header in it is broken" in problems[0].reason


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz"), ("a.tbz2", "w:bz2")]
)
def test_archives_that_are_cut_short(read, name, mode, share):
    content = tar_bytes(mode, {key: bytes(range(256)) * 12 for key in CONTENT})
    cut = content[: int(share * len(content))] if name != "a.tar" else content[: int(share * 35840)]
    _, problems = read(name, cut)
    assert problems and problems[-1].path.startswith("a")


def test_a_wrong_checksum_at_the_very_end(read):
    content = bytearray(tar_bytes("w:gz"))
    content[-6] ^= 1
    files, problems = read("a.tgz", bytes(content))
    assert len(files) == 10 and "a.tgz" in problems[0].path


def test_one_damaged_member_of_a_zip_does_not_hide_the_others(read):
    content = bytearray(zip_bytes(method=zipfile.ZIP_STORED))
    content[content.index(b"\x03" * 3000) + 5] ^= 1
    files, problems = read("a.zip", bytes(content))
    assert sorted(files) == [f"a/scan/{n:02d}.dcm" for n in range(10) if n != 3]
    assert [p.path for p in problems] == ["a/scan/03.dcm"] and "damaged in the archive" in problems[0].reason


def test_names_that_lead_out_or_hide_each_other(read):
    names = ("../../evil.dcm", "/abs.dcm", "a/../b.dcm", "b.dcm", "C:\\x\\y.dcm")
    files, problems = read("a.tar", tar_bytes(content={name: name.encode() for name in names}))
    assert problems == [] and sorted(files) == ["a/C:/x/y.dcm", "a/a/b.dcm", "a/abs.dcm", "a/b.dcm", "a/evil.dcm"]


def test_equal_names_are_both_there(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        for data in (b"one", b"two"):
            member = tarfile.TarInfo("same.dcm")
            member.size = 3
            opened.addfile(member, io.BytesIO(data))
    (tmp_path / "a.tar").write_bytes(out.getvalue())
    (tmp_path / "out").mkdir()
    located = find_files(tmp_path, tmp_path / "out", problems := [], outputs=[tmp_path / "out"])
    assert sorted(item.path.read_bytes() for item in located) == [b"one", b"two"] and not problems


def test_links_and_devices_are_named(read):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"odd{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            opened.addfile(member)
    files, problems = read("a.tar", out.getvalue())
    assert files == {} and len(problems) == 4 and all("link or a special file" in p.reason for p in problems)


def test_nesting_and_size_have_limits(read, monkeypatch):
    content = zip_bytes({"in.dcm": b"x"})
    for depth in range(4):
        content = zip_bytes({f"{depth}.zip": content})
    files, problems = read("a.zip", content)
    assert files == {} and "more than 3 times" in problems[0].reason


def test_a_bomb_is_stopped(read, monkeypatch):
    monkeypatch.setattr(archives, "_ALWAYS_BYTES", 1 << 20)
    files, problems = read("a.zip", zip_bytes({"a.dcm": b"\0" * (300 << 20)}))
    assert files == {} and "far more than its own size" in problems[0].reason


def test_an_encrypted_zip_is_named(read):
    content = bytearray(zip_bytes({"a.dcm": b"x"}))
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = content.index(mark) + (6 if mark.endswith(b"\x04") else 8)
        content[at] |= 1
    files, problems = read("a.zip", bytes(content))
    assert files == {} and "encrypted" in problems[0].reason


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tbz2"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"PK\x03\x04 and no more", b"\x1f\x8b\x08 no stream", lzma.compress(b"x")]
)
def test_anything_else_is_one_sentence(read, name, content):
    files, problems = read(name, content)
    assert files == {} and [Path(p.path).name for p in problems] == [name]
