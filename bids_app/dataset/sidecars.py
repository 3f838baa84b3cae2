"""Metadata of images by the BIDS inheritance principle."""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_app.errors import InputRefusedError

_PAIR = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_ENDINGS = ("MEGRE.json", "T2starw.json", "T1w.json")
#: Entities (without values), suffix and content of the JSON files of one folder.
_Listed = list[tuple[dict[str, str], str, dict[str, Any]]]


@dataclass
class Sidecars:
    """Reads every JSON file once: what lies above the participants is shared by all of them."""

    root: Path
    _folders: dict[Path, _Listed] = field(default_factory=dict)

    def of(self, image: Path) -> dict[str, Any]:
        """Return an image's metadata: of all JSON files from the root on that apply to it, the nearest wins.

        A JSON file applies to images of its suffix, in its folder and below, that have all its entities.

        Raises
        ------
        InputRefusedError
            If a JSON file is damaged.
        """
        entities, suffix = _parts(image.name.partition(".")[0])
        found: dict[str, Any] = {}
        for folder in [*reversed(image.relative_to(self.root).parents)]:
            applies = [
                (len(asked), content)
                for asked, ending, content in self._listed(self.root / folder)
                if ending == suffix and asked.items() <= entities.items()
            ]
            for _, content in sorted(applies, key=lambda one: one[0]):
                found |= content
        return found

    def _listed(self, folder: Path) -> _Listed:
        if folder not in self._folders:
            if folder != self.root:  # those of other participants are not needed any more
                for other in [f for f in self._folders if f != self.root and f not in folder.parents]:
                    del self._folders[other]
            names = sorted(e.name for e in os.scandir(folder) if e.name.endswith(_ENDINGS))
            self._folders[folder] = [(*_parts(name.removesuffix(".json")), _content(folder / name)) for name in names]
        return self._folders[folder]


def _parts(stem: str) -> tuple[dict[str, str], str]:
    return dict(_PAIR.findall(stem)), stem.rpartition("_")[2]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputRefusedError([f"{path} cannot be read as JSON ({error}): mend it"]) from error
    if not isinstance(content, dict):
        raise InputRefusedError([f"{path} holds no JSON object of names and values: correct it"])
    return content
