"""Digests of files: the same that the records of the steps hold."""

import hashlib
from pathlib import Path


def new_digest() -> hashlib.blake2b:
    """Return a new digest (BLAKE2b, 128 bits)."""
    return hashlib.blake2b(digest_size=16)


def digest_of_file(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_digest).hexdigest()
