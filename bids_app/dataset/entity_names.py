"""The entities of an image by the names that filters use: ``acquisition`` for ``acq-``, as pybids calls them.

pybids itself takes a third of a second to import and 0.2 ms for each name. ``tests/unit/dataset/test_query.py``
compares these entities with those of pybids.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bids_app.model.naming import Entities, run_entities

#: The name of each key of BIDS, and what its value looks like where that is no label.
_NAMES = {
    "sub": "subject",
    "ses": "session",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "nuc": "nucleus",
    "voi": "volume",
    "ce": "ceagent",
    "stain": "staining",
    "trc": "tracer",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "proc": "proc",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inv",
    "mt": "mt",
    "part": "part",
    "recording": "recording",
    "space": "space",
    "chunk": "chunk",
}
_VALUES = {
    **dict.fromkeys(("run", "echo", "flip", "inv", "chunk"), re.compile(r"\d+")),
    "mt": re.compile("on|off"),
    "part": re.compile("imag|mag|phase|real"),
}
_PAIR = re.compile(r"[_/]([a-z]+)-([a-zA-Z0-9+]+)")
_SUFFIX = re.compile(r"[_/]([a-zA-Z0-9+]+)\.[^/]+$")
_LABEL = re.compile(r"[a-zA-Z0-9+]+")


def filter_entities(folder: str, name: str) -> dict[str, str]:
    """Return the entities of an image, with its suffix, datatype and extension.

    Parameters
    ----------
    folder : str
        The image's folder in the dataset, with slashes; the last part is the datatype. Where an entity is in the path
        several times, the first one counts.
    name : str
        The name of the image.

    Examples
    --------
    >>> filter_entities("sub-01/anat", "sub-01_acq-qsm_part-mag_T2starw.nii")["acquisition"]
    'qsm'
    """
    path = f"/{folder}/{name}"
    found: dict[str, str] = {}
    for key, text in _PAIR.findall(path):
        entity = _NAMES.get(key)
        if entity is None or entity in found:
            continue
        value = _VALUES[key].match(text) if key in _VALUES else None
        if value or key not in _VALUES:
            found[entity] = value[0] if value else text
    if suffix := _SUFFIX.search(path):
        found["suffix"] = suffix[1]
    return found | {"datatype": folder.rpartition("/")[2], "extension": f".{name.partition('.')[2]}"}


@dataclass
class EntityReader:
    """Reads the names of many participants: what differs in the label of the participant alone is read once."""

    _known: dict[tuple[str, str], tuple[Mapping[str, str], Entities]] = field(default_factory=dict)

    def read(self, label: str, visit: str, name: str) -> tuple[Mapping[str, str], Entities]:
        """Return the entities of an image for filters, and those that name its run.

        Parameters
        ----------
        label : str
            The participant, without ``sub-``; ``name`` begins with it.
        visit : str
            The image's folder in that of the participant.
        name : str
            The name of the image.
        """
        rest = name.removeprefix(f"sub-{label}_")
        if not _LABEL.fullmatch(label) or "sub-" in rest or "sub-" in visit:
            return filter_entities(f"sub-{label}/{visit}", name), run_entities(name)
        known = self._known.get((visit, rest))
        if known is None:
            known = self._known[visit, rest] = filter_entities(f"sub-{label}/{visit}", name), run_entities(name)
        entities, of_run = known
        return {**entities, "subject": label}, (("sub", label), *of_run[1:])
