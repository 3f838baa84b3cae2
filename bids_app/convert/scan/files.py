"""Find every DICOM file below a folder: nested, without extension, in zip and tar archives."""

import filecmp
import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path, PurePosixPath

from bids_app.convert.model import Problem
from bids_app.convert.scan.archives import MAX_NESTING, archive_stem, decompress, is_compressed_dicom, unpack
from bids_app.convert.scan.header import BrokenDicomError, Instance, read_instance
from bids_app.derivatives.presence import is_system_file

#: Files that are never DICOM; they are not opened.
_OTHER = (
    ".nii",
    ".nii.gz",
    ".json",
    ".txt",
    ".tsv",
    ".csv",
    ".pdf",
    ".jpg",
    ".jpeg",
    ".png",
    ".xml",
    ".html",
    ".md",
    ".py",
    ".sh",
    ".log",
    ".mat",
    ".exe",
    ".dll",
)
#: From so many files on, headers are read in several processes.
_MANY_FILES = 1500


@dataclass(frozen=True)
class Located:
    """A file on disk and where the user would look for it (archives count as folders)."""

    path: Path
    logical: PurePosixPath


@dataclass(frozen=True)
class Scan:
    """All DICOM files that can be read, the broken ones, and the number of other files."""

    instances: tuple[Instance, ...]
    logical: dict[Path, PurePosixPath]
    problems: tuple[Problem, ...]
    others: int
    duplicates: int


def find_files(folder: Path, unpack_dir: Path, problems: list[Problem], outputs: Sequence[Path] = ()) -> list[Located]:
    """Return all files below ``folder``, sorted; archives are unpacked below ``unpack_dir``, ``outputs`` left out."""
    seen = {path.resolve() for path in outputs}
    return list(_walk(folder, PurePosixPath(), unpack_dir, problems, seen))


def _walk(
    folder: Path, logical: PurePosixPath, unpack_dir: Path, problems: list[Problem], seen: set[Path]
) -> Iterator[Located]:
    seen.add(folder.resolve())
    for entry in sorted(folder.iterdir(), key=lambda p: p.name):
        if is_system_file(entry.name):
            continue
        here = logical / entry.name
        if entry.is_dir():
            # A folder that is reached by two ways (a link to a folder above) is read once.
            if entry.resolve() not in seen:
                yield from _walk(entry, here, unpack_dir, problems, seen)
        elif not entry.is_file():
            problems.append(Problem(str(here), "is a link to nothing or a special file"))
        else:
            yield from _opened(Located(entry, here), unpack_dir, problems, 0)


def _opened(located: Located, unpack_dir: Path, problems: list[Problem], depth: int) -> Iterator[Located]:
    """Give a file, decompressed where it is a single compressed DICOM file, or the files of an archive."""
    if is_compressed_dicom(located.logical.name):
        path = decompress(located.path, located.logical, unpack_dir / "single", problems)
        if path is not None:
            yield Located(path, located.logical)
    elif archive_stem(located.logical.name) is None:
        yield located
    elif depth >= MAX_NESTING:
        problems.append(Problem(str(located.logical), f"archives lie in each other more than {MAX_NESTING} times"))
    else:
        target = unpack_dir / f"{sum(1 for _ in unpack_dir.iterdir()):04d}"
        target.mkdir()
        for path, logical in unpack(located.path, located.logical, target, problems):
            if not any(is_system_file(part) for part in logical.parts):
                yield from _opened(Located(path, logical), unpack_dir, problems, depth + 1)


def scan(folder: Path, unpack_dir: Path, nprocs: int = 1, outputs: Sequence[Path] = ()) -> Scan:
    """Read the headers of all DICOM files below ``folder``, but for the folders ``outputs``, which are ours."""
    unpack_dir.mkdir(parents=True, exist_ok=True)
    problems: list[Problem] = []
    located = find_files(folder, unpack_dir, problems, outputs)
    candidates = [f for f in located if not f.logical.name.lower().endswith(_OTHER) and f.logical.name != "DICOMDIR"]
    logical = {f.path: f.logical for f in candidates}
    instances: list[Instance] = []
    seen: dict[str, list[Instance]] = {}
    duplicates = broken = 0
    for candidate, result in zip(candidates, _read_all([f.path for f in candidates], nprocs), strict=True):
        if isinstance(result, str):
            problems.append(Problem(str(candidate.logical), result))
            broken += 1
        elif result is not None:
            uid = result.values["sop_uid"]
            if uid and any(_is_copy(result, other) for other in seen.get(uid, ())):
                duplicates += 1
                continue
            seen.setdefault(uid, []).append(result)
            instances.append(result)
    others = len(located) - len(instances) - duplicates - broken
    return Scan(tuple(instances), logical, tuple(problems), others, duplicates)


def _is_copy(instance: Instance, other: Instance) -> bool:
    """Return whether two files hold the same image; equal SOPInstanceUIDs alone do not say so."""
    if instance.values != other.values or instance.frames != other.frames:
        return False
    return filecmp.cmp(instance.path, other.path, shallow=False) or _pixels(instance.path) == _pixels(other.path)


def _pixels(path: Path) -> bytes:
    """Return a digest of the stored pixels, which stay the same when an archive changes an element of the header."""
    import pydicom

    return hashlib.sha256(pydicom.dcmread(path, force=True).get("PixelData", b"")).digest()


def _read_all(paths: Sequence[Path], nprocs: int) -> list[Instance | str | None]:
    if len(paths) < _MANY_FILES or nprocs < 2:
        return _read_chunk(paths)
    chunks = [paths[i : i + 250] for i in range(0, len(paths), 250)]
    with ProcessPoolExecutor(min(nprocs, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        return [result for chunk in pool.map(_read_chunk, chunks) for result in chunk]


def _read_chunk(paths: Sequence[Path]) -> list[Instance | str | None]:
    """Return for every file its record, None when it is not DICOM, or the reason why it is broken."""
    import logging
    import warnings

    results: list[Instance | str | None] = []
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every value that bends the standard
        for path in paths:
            try:
                results.append(read_instance(path))
            except BrokenDicomError as error:
                results.append(str(error))
            except OSError as error:
                results.append(f"cannot be opened ({error.strerror})")
    return results
