"""Which images are taken: the file of ``--bids-filter-file``."""

import json
from collections.abc import Mapping
from pathlib import Path

from bids_app.derivatives.presence import absence
from bids_app.derivatives.text import decoded
from bids_app.errors import UsageError
from bids_app.qsm.params import nearest

#: Kinds of images that ``--bids-filter-file`` can select, and the entities that it may name (as pybids calls them).
FILTERS = ("gre", "t1w")
FILTER_ENTITIES = (
    "subject",
    "session",
    "acquisition",
    "ceagent",
    "reconstruction",
    "direction",
    "run",
    "flip",
    "inv",
    "mt",
    "echo",
    "part",
    "suffix",
    "datatype",
    "extension",
)


def read_filters(path: Path | None) -> Mapping[str, Mapping[str, object]]:
    """Return the filters of a file: which images are taken, by kind.

    Raises
    ------
    UsageError
        If the file cannot be read, or names an unknown kind or entity.
    """
    if path is None:
        return {}
    if problem := absence(path):
        raise UsageError(f"--bids-filter-file: {path}: {problem}")
    text, note = decoded(path.read_bytes())
    if note:
        raise UsageError(f"--bids-filter-file: {path}: is not UTF-8; save it as UTF-8")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"--bids-filter-file: {path} cannot be read as JSON: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise UsageError(f'--bids-filter-file: {path} must be like {{"gre": {{"acquisition": "qsm"}}, "t1w": {{}}}}')
    unknown = [name for name in content if name not in FILTERS]
    if unknown:
        raise UsageError(f"--bids-filter-file: unknown kind {unknown[0]!r}: {nearest(unknown[0], list(FILTERS))}")
    for kind, wanted in content.items():
        for name in wanted:
            if name not in FILTER_ENTITIES:
                hint = nearest(name, list(FILTER_ENTITIES))
                raise UsageError(f"--bids-filter-file: {kind}: unknown entity {name!r}: {hint}")
    return content
