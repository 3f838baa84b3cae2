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
#: Suffixes of images that are gradient echoes whether they have a phase or not.
GRADIENT_ECHOES = ("MEGRE", "T2starw")
#: Suffixes of images that are gradient echoes where they have a phase; without one they serve other purposes.
GRADIENT_ECHOES_WITH_PHASE = ("T1w", "MPM", "VFA", "MP2RAGE")
#: Suffixes of T1-weighted anatomy, in order of preference.
T1_WEIGHTED = ("T1w", "UNIT1")
_SUFFIXES = "|".join((*GRADIENT_ECHOES, *GRADIENT_ECHOES_WITH_PHASE))
_PHASE = re.compile(rf"_part-(?:phase|real)(?:_[a-z]+-[A-Za-z0-9+]+)*_({_SUFFIXES})\.nii(?:\.gz)?$")
_PAIR = re.compile(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)(?=_|$|\.)")


def entities_in(name: str) -> Entities:
    """Return the entities of a file name or basename, as they are written, in their order.

    Examples
    --------
    >>> entities_in("sub-01_run-01_MEGRE.nii.gz")
    (('sub', '01'), ('run', '01'))
    """
    return tuple((key, value) for key, value in _PAIR.findall(name))


def is_gradient_echo_phase(name: str) -> bool:
    """Return whether a file, by its name, holds the phase (or the real part) of a gradient echo.

    The inversion images of MP2RAGE are gradient echoes where they have several echoes (``echo-``).

    Examples
    --------
    >>> is_gradient_echo_phase("sub-01_acq-PDw_echo-1_flip-1_mt-off_part-phase_MPM.nii.gz")
    True
    >>> is_gradient_echo_phase("sub-01_inv-1_part-phase_MP2RAGE.nii.gz")
    False
    """
    match = _PHASE.search(name)
    return match is not None and (match[1] != "MP2RAGE" or "echo" in dict(entities_in(name)))


def run_entities(name: str) -> Entities:
    """Return the entities that name the run of an image, in the order of BIDS, unknown ones last.

    Examples
    --------
    >>> run_entities("sub-01_run-1_x-2_mt-off_acq-qsm_echo-1_part-mag_MEGRE.nii.gz")
    (('sub', '01'), ('acq', 'qsm'), ('run', '1'), ('mt', 'off'), ('x', '2'))
    """
    entities = {key: value for key, value in entities_in(name) if key not in _OF_IMAGES}
    known = [key for key in _ORDER if key in entities]
    return tuple((key, entities[key]) for key in (*known, *sorted(entities.keys() - set(known))))
