"""Names of receive coil elements, and whether the files of a series hold an image of each element."""

import re
from collections import Counter
from collections.abc import Sequence

from bids_app.convert.scan.header import Instance

_ELEMENT = re.compile(r"[A-Za-z]+\d+")


def is_element(coil: str) -> bool:
    """Return whether a name is that of one coil element (``H7``, ``HC12``), not of several (``HEA;HEP``)."""
    return bool(_ELEMENT.fullmatch(coil))


def coil_order(coil: str) -> tuple[str, int, str]:
    """Return by what the names of coil elements are sorted: letters, then the number."""
    digits = re.search(r"\d+", coil)
    return re.sub(r"\d+", "", coil), int(digits.group()) if digits else 0, coil


def is_by_coil(instances: Sequence[Instance]) -> bool:
    """Return whether images of one part, echo and position differ in their coil element alone."""
    coils = {i.values["coil"] for i in instances}
    if len(coils) < 2:
        return False
    images = Counter((f.part, f.echo_time, f.repetition, z) for i in instances for f in i.frames for z in f.positions)
    of_coils = Counter(
        (f.part, f.echo_time, f.repetition, z, i.values["coil"])
        for i in instances
        for f in i.frames
        for z in f.positions
    )
    return max(images.values()) > 1 and max(of_coils.values()) == 1
