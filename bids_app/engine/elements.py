"""What the elements of an array job are: participants and sessions, from the names of folders alone.

Nothing is indexed: the list for 10,000 participants takes a fraction of a second, and each element indexes no more than
its own participant.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from bids_app.errors import InputRefusedError

#: Participant and session label; no session where the dataset has none.
Element = tuple[str, str | None]


def list_elements(bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[Element]:
    """Return one element for every participant and session that is asked for, in the order of the names.

    Raises
    ------
    InputRefusedError
        If the folder cannot be read, or nothing is left.
    """
    try:
        labels = _labels(bids_dir, "sub-")
    except OSError as error:
        raise InputRefusedError([f"{bids_dir} cannot be read: {error.strerror}"]) from error
    unknown = [label for label in participants if label not in labels]
    if unknown:
        raise InputRefusedError([f"participant {label!r} is not in {bids_dir}" for label in unknown])
    elements: list[Element] = []
    for label in labels:
        if participants and label not in participants:
            continue
        visits = _labels(bids_dir / f"sub-{label}", "ses-")
        if visits:
            elements += [(label, visit) for visit in visits if not sessions or visit in sessions]
        elif not sessions:
            elements.append((label, None))
    if not elements:
        raise InputRefusedError([f"{bids_dir}: no participant and session for this selection"])
    return elements


def _labels(folder: Path, prefix: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name.removeprefix(prefix) for e in entries if e.name.startswith(prefix) and e.is_dir())
