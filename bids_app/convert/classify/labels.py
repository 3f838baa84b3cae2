"""Labels that distinguish the protocols of one session."""

import re
from collections.abc import Sequence


def protocol_labels(names: Sequence[str]) -> list[str]:
    """Return an ``acq-`` label for each of several protocols by its name; none for a single one."""
    if len(names) == 1:
        return [""]
    labels: list[str] = []
    for name in names:
        label = re.sub(r"[^A-Za-z0-9]", "", name) or "gre"
        count = 1
        while (numbered := label if count == 1 else f"{label}{count}").lower() in {x.lower() for x in labels}:
            count += 1
        labels.append(numbered)
    return labels
