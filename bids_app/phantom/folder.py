"""A dataset folder that remembers what was written into it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import write_bytes, write_image, write_json
from bids_app.derivatives.scratch import remove_parts
from bids_app.errors import UsageError
from bids_app.model.json_values import JsonObject

#: Where the truth is, below the dataset.
TRUTH = Path("derivatives") / "phantom"
_RECORDS = TRUTH / "logs"


class Folder:
    """A dataset folder that remembers what was written into it, so that nothing is made twice.

    A unit (the dataset's own files, a participant) has a record: its fingerprint and its files. The record is written
    before the work with ``done`` false, so that a stopped run leaves no file that nobody knows.
    """

    def __init__(self, root: Path):
        self.root = root.absolute()
        self.written: list[str] = []

    def open(self) -> None:
        """Refuse a folder that holds something else; remove what a killed run has left half-written in ours.

        Raises
        ------
        UsageError
            If the folder is a file, or not empty and not made by this command.
        """
        if self.root.exists() and not self.root.is_dir():
            raise UsageError(f"{self.root} is a file: give a folder")
        if self.root.is_dir() and any(self.root.iterdir()) and not (self.root / _RECORDS).is_dir():
            raise UsageError(f"{self.root} is not empty and was not made by this command: give a new folder")
        for folder in (self.root, *(path for path in self.root.rglob("*") if path.is_dir())):
            remove_parts(folder)

    def record_path(self, unit: str) -> Path:
        """Return where a unit's record is."""
        return self.root / _RECORDS / f"{unit}.json"

    def read(self, unit: str) -> JsonObject:
        """Return a unit's record; an empty one if there is none or it is damaged."""
        try:
            content = json.loads(self.record_path(unit).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def is_done(self, unit: str, fingerprint: str) -> bool:
        """Whether the unit was finished with this fingerprint and all its files are still there with their sizes."""
        record = self.read(unit)
        if record.get("fingerprint") != fingerprint or not record.get("done"):
            return False
        files: dict[str, int] = record["files"]
        return all((self.root / f).is_file() and (self.root / f).stat().st_size == n for f, n in files.items())

    def make(self, unit: str, fingerprint: str, write: Callable[["Folder"], None]) -> None:
        """Write a unit and its record; files of an earlier version that are not written again are removed."""
        before = set(self.read(unit).get("files", {}))
        self.written = []
        write_json(self.record_path(unit), {"fingerprint": fingerprint, "done": False, "files": dict.fromkeys(before)})
        write(self)
        for name in before - set(self.written):
            (self.root / name).unlink(missing_ok=True)
        sizes = {name: (self.root / name).stat().st_size for name in sorted(self.written)}
        write_json(self.record_path(unit), {"fingerprint": fingerprint, "done": True, "files": sizes})

    def forget_others(self, units: set[str]) -> None:
        """Remove units of an earlier study that this one does not have."""
        for path in (self.root / _RECORDS).glob("*.json"):
            if path.stem not in units:
                for name in self.read(path.stem).get("files", {}):
                    (self.root / name).unlink(missing_ok=True)
                path.unlink()
        for folder in sorted(self.root.rglob("*"), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def place(self, path: Path | str) -> Path:
        """Return the full path of a file that is about to be written, and note it."""
        relative = Path(path)
        if relative.is_absolute():
            relative = relative.relative_to(self.root)
        self.written.append(relative.as_posix())
        return self.root / relative

    def json(self, path: Path | str, content: object) -> None:
        """Write JSON."""
        write_json(self.place(path), content)

    def text(self, path: Path | str, content: str) -> None:
        """Write text."""
        write_bytes(self.place(path), content.encode())

    def image(
        self,
        path: Path | str,
        data: npt.NDArray[np.generic],
        affine: npt.NDArray[np.float64],
        dtype: str,
        sidecar: dict[str, object] | None = None,
    ) -> None:
        """Write an image and, if given, its sidecar."""
        place = self.place(path)
        write_image(place, data, affine, dtype)
        if sidecar is not None:
            self.json(place.with_name(place.name.removesuffix(".nii.gz") + ".json"), sidecar)
