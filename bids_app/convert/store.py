"""Files that appear whole or not at all: written beside under a unique name, flushed, renamed."""

import csv
import io
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file at once; an old one is replaced."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 at once."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file at once."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def create_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file unless there is one."""
    if not path.exists():
        write_json(path, values)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and rows of a TSV file; nothing when it does not exist."""
    if not path.is_file():
        return [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [{k: (v or "") for k, v in row.items() if k is not None} for row in reader]
        return list(reader.fieldnames or []), rows


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a TSV file at once; missing and empty values become n/a."""
    text = io.StringIO()
    text.write("\t".join(columns) + "\n")
    for row in rows:
        cells = [str(row.get(c, "")).replace("\t", " ").replace("\n", " ").strip() or "n/a" for c in columns]
        text.write("\t".join(cells) + "\n")
    write_text(path, text.getvalue())
