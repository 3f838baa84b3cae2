"""The entities of an image by the names that filters use: ``acquisition`` for ``acq-``, as pybids calls them.

The only module that knows pybids. It takes 0.2 ms for a name, so that a name which differs from another in the label
of the participant alone is not given to it again.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from bids_app.model.naming import Entities, run_entities

_LABEL = re.compile(r"[a-zA-Z0-9+]+")


@cache
def _parser() -> Callable[[str], Mapping[str, object]]:
    """Return pybids' parser of paths, with its rules read once."""
    from bids.layout import parse_file_entities
    from bids.layout.models import Config

    rules = [Config.load("bids")]
    return lambda path: parse_file_entities(path, config=rules)


def filter_entities(folder: str, name: str) -> dict[str, str]:
    """Return the entities of an image, with its suffix, datatype and extension.

    Parameters
    ----------
    folder : str
        The image's folder in the dataset, with slashes: folders above the dataset may be called like entities.
    name : str
        The name of the image.

    Examples
    --------
    >>> filter_entities("sub-01/anat", "sub-01_acq-qsm_part-mag_T2starw.nii")["acquisition"]
    'qsm'
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of pybids and its libraries do not concern the user
        return {key: str(value) for key, value in _parser()(f"/{folder}/{name}").items()}


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
