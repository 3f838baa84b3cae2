"""How the entities of a file name become those of a run: one function for all levels, so that they agree."""

import re

Entities = tuple[tuple[str, str], ...]

#: Entities in the order in which BIDS writes them; others follow in alphabetical order.
_ORDER = (
    "sub",
    "ses",
    "sample",
    "task",
    "tracksys",
    "acq",
    "ce",
    "trc",
    "stain",
    "rec",
    "dir",
    "run",
    "mod",
    "flip",
    "inv",
    "mt",
)
#: Entities that distinguish the images of one run. Coils belong into one image, as its fourth dimension.
_OF_IMAGES = ("echo", "part", "coil", "channel", "rx")
_PAIR = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)(?=_|$|\.)")


def entities_in(name: str) -> Entities:
    """Return the entities of a file name or basename, as they are written, in their order.

    Examples
    --------
    >>> entities_in("sub-01_run-01_MEGRE.nii.gz")
    (('sub', '01'), ('run', '01'))
    """
    return tuple((key, value) for key, value in _PAIR.findall(name))


def run_entities(name: str) -> Entities:
    """Return the entities that name the run of an image, in the order of BIDS, unknown ones last.

    Examples
    --------
    >>> run_entities("sub-01_run-1_x-2_mt-off_acq-qsm_echo-1_part-mag_MEGRE.nii.gz")
    (('sub', '01'), ('acq', 'qsm'), ('run', '1'), ('mt', 'off'), ('x', '2'))
    """
    found = {key: value for key, value in entities_in(name) if key not in _OF_IMAGES}
    known = [key for key in _ORDER if key in found]
    return tuple((key, found[key]) for key in (*known, *sorted(found.keys() - set(known))))
