"""Archives, read member by member to their end: what is damaged is named, and everything else is used.

Members are written under numbers, so that no name in an archive decides where a file comes to lie, or hides another.
"""

import gzip
import hashlib
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from bids_app.convert.model import Problem

_ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: DICOM files that are compressed one by one.
_COMPRESSED = (".dcm.gz", ".ima.gz", ".dicom.gz")
#: Archives in archives are opened down to this depth.
MAX_NESTING = 3
#: An archive may hold this much more than its own size, and this much in any case: more is no archive of images.
_MAX_RATIO, _ALWAYS_BYTES = 200, 1 << 30
#: Disk space that is left free.
_SPARE_BYTES = 1 << 30
_CHUNK = 1 << 20
_BLOCK = 512
_DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)

Report = Callable[[str, str], None]  # name of the member (empty: the archive), reason


class _Source(Protocol):
    """What a member is read from."""

    def read(self, count: int, /) -> bytes: ...


class _TooLargeError(ValueError):
    """The archive unpacks to more than any archive of images does."""


def archive_stem(name: str) -> str | None:
    """Return the name of an archive without its extensions, or None for another file."""
    lower = name.lower()
    for extension in sorted(_ENDINGS, key=len, reverse=True):
        if lower.endswith(extension) and len(name) > len(extension):
            return name[: -len(extension)]
    return None


def is_compressed_dicom(name: str) -> bool:
    """Return whether a name is that of a single DICOM file compressed with gzip (``.dcm.gz``)."""
    return name.lower().endswith(_COMPRESSED)


def decompress(file: Path, logical: PurePosixPath, target: Path, problems: list[Problem]) -> Path | None:
    """Write a compressed file's content below ``target`` and return its path; None, and a problem, if it is damaged."""
    target.mkdir(exist_ok=True)
    name = hashlib.sha256(os.fsencode(file)).hexdigest()[:24]  # files of one name may come from several folders
    path = target / f"{name}{Path(logical.name).with_suffix('').suffix}"
    try:
        with gzip.open(file) as source:
            _Budget(file, target).copy(source, path)
    except _TooLargeError as error:
        reason = str(error)
    except _DAMAGE as error:
        reason = f"cannot be decompressed to its end ({_words(error)})"
    else:
        return path
    path.unlink(missing_ok=True)
    problems.append(Problem(str(logical), reason))
    return None


def unpack(
    archive: Path, logical: PurePosixPath, target: Path, problems: list[Problem]
) -> Iterator[tuple[Path, PurePosixPath]]:
    """Write the files of an archive below ``target``, and give each with its path in the archive.

    ``logical`` is where the user finds the archive; what cannot be read is added to ``problems``.
    """
    inner = logical.with_name(archive_stem(logical.name) or logical.name)

    def report(member: str, reason: str) -> None:
        problems.append(Problem(str(inner / _plain(member) if member else logical), reason))

    members = _zip_members if archive.name.lower().endswith(".zip") else _tar_members
    budget = _Budget(archive, target)
    try:
        for number, (name, source) in enumerate(members(archive, report), start=1):
            path = target / f"{number:06d}{_suffix(name)}"
            try:
                budget.copy(source, path)
            except _TooLargeError:
                raise
            except _DAMAGE as error:
                path.unlink(missing_ok=True)
                report(name, f"is damaged in the archive ({_words(error)})")
                continue
            yield path, inner / _plain(name)
    except _TooLargeError as error:
        report("", str(error))
    except _DAMAGE as error:
        report("", f"archive cannot be unpacked to its end ({_words(error)})")


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Budget:
    """How much an archive may still write."""

    def __init__(self, archive: Path, target: Path):
        self.left = max(_ALWAYS_BYTES, _MAX_RATIO * archive.stat().st_size)
        self.target = target

    def copy(self, source: _Source, path: Path) -> None:
        """Write a member; its checksum is compared where the archive has one."""
        with path.open("wb") as file:
            while chunk := source.read(_CHUNK):
                self.left -= len(chunk)
                if self.left < 0:
                    raise _TooLargeError("unpacks to far more than its own size, as no archive of images does")
                if shutil.disk_usage(self.target).free < _SPARE_BYTES:
                    raise _TooLargeError(
                        "does not fit on the disk of working files: unpack it elsewhere, or name a "
                        "larger disk with --work-dir"
                    )
                file.write(chunk)


def _plain(name: str) -> PurePosixPath:
    """Return a member's path without what leads out of the archive."""
    parts = [part for part in re.split(r"[/\\]", name.replace("\0", "")) if part not in ("", ".", "..")]
    return PurePosixPath(*parts) if parts else PurePosixPath("unnamed")


def _suffix(name: str) -> str:
    match = re.search(r"(\.nii)?\.[A-Za-z0-9]{1,8}(\.(gz|bz2|xz))?$", name)
    return match.group(0) if match else ""


def _zip_members(archive: Path, report: Report) -> Iterator[tuple[str, _Source]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                report(member.filename, "is encrypted; unpack the archive yourself")
                continue
            try:
                source = opened.open(member)
            except _DAMAGE as error:
                report(member.filename, f"is damaged in the archive ({_words(error)})")
                continue
            with source:
                yield member.filename, source


def _tar_members(archive: Path, report: Report) -> Iterator[tuple[str, _Source]]:
    with tarfile.open(archive) as opened:
        end = 0
        for member in opened:
            size = member.size if member.isreg() else 0
            end = max(end, member.offset_data + -(-size // _BLOCK) * _BLOCK)
            if member.isreg():
                source = opened.extractfile(member)
                assert source is not None  # a regular file has a content
                yield member.name, _Whole(source, size)
            elif not member.isdir():
                report(member.name, "is a link or a special file in the archive")
        _check_end(opened, end)


class _Whole:
    """A member that must have all its bytes: at the end of a stream, tarfile gives fewer without a word."""

    def __init__(self, source: IO[bytes], size: int):
        self.source, self.left = source, size

    def read(self, count: int, /) -> bytes:
        chunk = self.source.read(count)
        self.left -= len(chunk)
        if not chunk and self.left:
            raise EOFError(f"{self.left} bytes are missing")
        return chunk


def _check_end(opened: tarfile.TarFile, end: int) -> None:
    """Read on to the end of the stream, whose checksum is compared then; only the end marker may follow the members.

    A header that is broken ends a tar without a word from the library: then no zeros follow.
    """
    file = opened.fileobj
    assert file is not None  # open for reading
    file.seek(end)
    marked = False
    while chunk := file.read(_CHUNK):
        if chunk.strip(b"\0"):
            raise tarfile.ReadError("a header in it is broken; the files behind it are lost")
        marked = True
    if not marked:
        raise tarfile.ReadError("it ends without its end marker; files may be missing")
