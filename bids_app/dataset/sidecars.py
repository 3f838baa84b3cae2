"""Metadata of images by the BIDS inheritance principle."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from bids_app.derivatives.presence import absence, is_system_file
from bids_app.derivatives.text import decoded, shown
from bids_app.model.json_values import JsonObject, JsonValue
from bids_app.model.naming import GRADIENT_ECHOES, GRADIENT_ECHOES_WITH_PHASE, T1_WEIGHTED

_PAIR = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_SUFFIXES = (*GRADIENT_ECHOES, *GRADIENT_ECHOES_WITH_PHASE, *T1_WEIGHTED, "MESE", "fieldmap")
_ENDINGS = tuple(f"{suffix}.json" for suffix in _SUFFIXES)
#: Entities, suffix, path and content of the JSON files of one folder.
_Listed = list[tuple[dict[str, str], str, Path, JsonObject]]
#: Whole numbers with more digits mean nothing.
_MAX_DIGITS = 18


@dataclass
class Sidecars:
    """Reads every JSON file once: what lies above the participants is shared by all of them.

    ``problems`` gathers a sentence for every file that cannot be read.
    """

    root: Path
    problems: list[str] = field(default_factory=list)
    _folders: dict[Path, _Listed] = field(default_factory=dict)
    _notes: dict[Path, str] = field(default_factory=dict)
    #: The folder of the last image, and the JSON files that may apply to it.
    _last: tuple[Path, list[_Listed]] | None = None

    def of(self, image: Path) -> JsonObject:
        """Return an image's metadata: of all JSON files from the root on that apply to it, the nearest wins.

        A JSON file applies to images of its suffix, in its folder and below, that have all its entities.
        """
        return self.read(image.parent, image.name)[0]

    def read(self, folder: Path, name: str) -> tuple[JsonObject, tuple[str, ...]]:
        """Return the metadata of an image, and what the user should know about how its JSON files were read."""
        entities, suffix = _parts(name.partition(".")[0])
        metadata: JsonObject = {}
        notes = []
        for listed in self._above(folder):
            applies = [sidecar for sidecar in listed if sidecar[1] == suffix and sidecar[0].items() <= entities.items()]
            for _, _, path, content in sorted(applies, key=lambda sidecar: len(sidecar[0])):
                metadata |= content
                if path in self._notes:
                    notes.append(self._notes[path])
        return metadata, tuple(notes)

    def _above(self, folder: Path) -> list[_Listed]:
        """Return the JSON files of a folder and of those above it, from the root on."""
        if self._last is None or self._last[0] != folder:
            inside = [self.root / part for part in reversed(folder.relative_to(self.root).parents)]
            listings = [self._listed(place) for place in dict.fromkeys((*inside, folder))]
            self._last = folder, [listed for listed in listings if listed]
        return self._last[1]

    def _listed(self, folder: Path) -> _Listed:
        if folder not in self._folders:
            above = {self.root, *folder.parents}
            if folder != self.root:  # those of other participants are not needed any more
                self._folders = {other: listed for other, listed in self._folders.items() if other in above}
            names = (e.name for e in os.scandir(folder) if e.name.endswith(_ENDINGS) and not is_system_file(e.name))
            self._folders[folder] = [
                (*_parts(name.removesuffix(".json")), folder / name, self._content(folder / name))
                for name in sorted(names)
            ]
        return self._folders[folder]

    def _content(self, path: Path) -> JsonObject:
        problem = absence(path)
        try:
            text, note = ("{}", "") if problem else decoded(path.read_bytes())
            content = read_json(text)
        except (OSError, ValueError, RecursionError) as error:
            content, problem = {}, f"cannot be read as JSON ({error}); correct it"
        if not problem and not isinstance(content, dict):
            problem = "holds no JSON object of names and values; correct it"
        if problem:
            self.problems.append(f"{path.relative_to(self.root)}: {problem}")
            return {}
        if note:
            self._notes[path] = f"{path.relative_to(self.root)}: {note}"
        return dict(content)


def read_json(text: str) -> JsonValue:
    """Return the content of a JSON text; numbers beyond all measure are infinite, and no error.

    Raises
    ------
    ValueError
        If the text is not JSON, or gives a name two values.
    """
    return json.loads(
        text,
        parse_int=lambda digits: int(digits) if len(digits) <= _MAX_DIGITS else float(digits),
        object_pairs_hook=_unique,
    )


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    """Return the values of an object by name; JSON itself takes the last of several values without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        for name, value in pairs:
            if repr(values[name]) != repr(value):
                raise ValueError(f"{shown(name)} has the values {shown(str(value))} and {shown(str(values[name]))}")
    return values


def _parts(stem: str) -> tuple[dict[str, str], str]:
    return dict(_PAIR.findall(stem)), stem.rpartition("_")[2]
