"""Whether every part of an image's name is an entity of BIDS: what is not would be left out of the run's name."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bids_app.dataset.image_checks import files_of
from bids_app.derivatives.text import shown
from bids_app.model.records import GreRun

_ENTITY = re.compile(r"([a-zA-Z]+)-[a-zA-Z0-9+]+")


def file_names(run: GreRun) -> Iterator[str]:
    """Names of images consist of entities, each of them once, with labels of letters and digits."""
    for path in (path for echo in run.echoes for path in files_of(echo)):
        if problem := name_problem(path):
            yield f"{shown(path.name, 120) if not path.name.isprintable() else path.name}: {problem}"


def name_problem(path: Path) -> str:
    """Return what is wrong with the name of an image; empty if every part is an entity.

    Examples
    --------
    >>> name_problem(Path("sub-01_acq-1.5mm_MEGRE.nii.gz"))
    "'acq-1.5mm' in its name is no entity of BIDS, a key and letters and digits (acq-fine2); rename the file"
    >>> name_problem(Path("sub-01_acq-fine_MEGRE.nii.gz"))
    ''
    """
    *parts, _ = path.name.removesuffix(".gz").removesuffix(".nii").split("_")
    for part in parts:
        if not _ENTITY.fullmatch(part):
            return (
                f"{shown(part)} in its name is no entity of BIDS, a key and letters and digits (acq-fine2); rename the "
                "file"
            )
    key, count = Counter(part.partition("-")[0] for part in parts).most_common(1)[0] if parts else ("", 0)
    return f"its name has {key}- {count} times; keep one of them" if count > 1 else ""
