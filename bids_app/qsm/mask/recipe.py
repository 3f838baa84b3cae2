"""Masks described as recipes: a source, a threshold and operations in order; several of them joined.

``"quality,otsu:1.3,fill:25,open:1,largest"`` takes the phase quality map, keeps what lies above 1.3 times Otsu's
threshold, fills voxels of whose 26 neighbours 25 are set, opens by one voxel and keeps the largest part.
``"quality,otsu:1 & given,dilate:1 => holes"`` keeps what lies in both masks and then fills holes; ``|`` joins them.
Terms are joined from left to right, and what follows ``=>`` is done to the result. ``"bet & quality,otsu:1"`` keeps of
the phase quality's mask what lies inside the surface of the brain; ``bet:0.6`` makes that surface tighter. Where the
object is no head, ``bet`` is the whole volume.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_app.errors import ParameterError
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import bounding_box
from bids_app.qsm.mask import morphology
from bids_app.qsm.mask.bet import THRESHOLD
from bids_app.qsm.mask.components import discarded_shares
from bids_app.qsm.mask.head import Brain, extract_brain
from bids_app.qsm.mask.thresholds import even_brightness, gaussian_threshold, otsu_threshold
from bids_app.qsm.operators.smoothing import gaussian
from bids_app.qsm.params import nearest

#: Maps that a term can start from: phase quality (0 to 1), combined magnitude, a mask that the user gave, and the
#: inverse standard error of the field (1 where it is as good as in the median voxel); ``bet`` is the inside of the
#: brain's surface, found in magnitude and quality.
SOURCES = ("quality", "magnitude", "given", "reliability", "bet")

#: Masks of the two-pass method (Stewart 2022, 10.1002/mrm.29048). The object's is eroded before the largest part is
#: taken, which cuts the scalp off where vessels or nerves join it to the brain, and grown back. Holes are filled after
#: that: the skull is a hole in the head. Voxels at the boundary whose field is uncertain (near air) go, since the
#: background removal does not weigh the field there; inside, holes stay filled. Closing keeps the wall of a strong
#: source that runs to the boundary: without it the field says nothing of what lies behind.
RELIABLE_RECIPE = "quality,otsu:1.3,fill:25,open:1,largest"
OBJECT_RECIPE = (
    "quality,otsu:1.3,fill:20,close:1,erode:2,largest,dilate:2,close:3,holes"
    " & reliability,threshold:0.4,open:1,close:1 => largest,holes"
)
#: The brain: of the object what lies inside the brain's surface. Phase quality alone keeps orbits, muscle and scalp
#: where echoes are short, voxels are large and signal is strong, so that bone is no gap in it.
FILLED_RECIPE = f"bet & {OBJECT_RECIPE}"

#: Phase quality is an absolute scale: noise reaches about 0.1 and coherent tissue 0.8. What is above this value is
#: object, whatever the histogram says; where the object fills the field of view there is no noise class, and Otsu's
#: threshold splits the object itself.
SURE_QUALITY = 0.6
#: So it is with the magnitude once it is even: 1 is the local mean of the object.
SURE_BRIGHTNESS = 0.5


@dataclass(frozen=True)
class Operation:
    """One word of a recipe with its numbers."""

    name: str
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Term:
    """A source and its operations; ``join`` (``&`` or ``|``) says how it meets the terms before it.

    ``threshold`` is that of the brain's surface.
    """

    source: str
    operations: tuple[Operation, ...]
    join: str = "|"
    threshold: float = THRESHOLD


@dataclass(frozen=True)
class Recipe:
    """Terms, and operations on what they give together."""

    terms: tuple[Term, ...]
    then: tuple[Operation, ...] = ()

    @property
    def sources(self) -> set[str]:
        """The maps that the recipe needs; ``bet`` needs magnitude and quality and takes what there is of them."""
        return {term.source for term in self.terms}


def _times(function: Callable[[BoolArray, int], BoolArray]) -> Callable[[BoolArray, float], BoolArray]:
    return lambda mask, times: function(mask, int(times))


def _smooth(mask: BoolArray, sigma: float, level: float) -> BoolArray:
    # Divided by what a full mask would give: an object that is cut by the field of view goes on beyond it.
    whole = gaussian(np.ones(mask.shape, np.float32), (sigma,) * 3)
    smoothed: BoolArray = gaussian(mask.astype(np.float32), (sigma,) * 3) > level * whole
    return smoothed


#: Operations on a mask: function and the number of its numbers (voxels).
OPERATIONS: dict[str, tuple[Callable[..., BoolArray], int]] = {
    "fill": (_times(morphology.fill_neighbours), 1),
    "open": (_times(morphology.opened), 1),
    "close": (_times(morphology.closed), 1),
    "erode": (_times(morphology.erode), 1),
    "dilate": (_times(morphology.dilate), 1),
    "smooth": (_smooth, 2),
    "holes": (morphology.fill_holes, 0),
    "largest": (morphology.largest, 0),
}
#: How a mask comes of a map: factor on Otsu's threshold, factor on the Gaussian one, value, percentile of the map.
THRESHOLDS = {"otsu": 1, "gaussian": 1, "threshold": 1, "percentile": 1}
#: What can be done to the magnitude before: the width in mm of the local mean that it is divided by.
_BEFORE = {"even": 1}


#: Limits of the numbers of every operation; nothing else is a number that means something.
_RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "fill": ((0, 26),),
    "open": ((0, 50),),
    "close": ((0, 50),),
    "erode": ((0, 50),),
    "dilate": ((0, 50),),
    "smooth": ((0, 50), (0, 1)),
    "holes": (),
    "largest": (),
    "otsu": ((0, 100),),
    "gaussian": ((0, 100),),
    "threshold": ((-1e9, 1e9),),
    "percentile": ((0, 100),),
    "even": ((0.1, 1000),),
    "bet": ((0, 1e9),),  # its own sentence says more
}
_WHOLE = ("fill", "open", "close", "erode", "dilate")


def _operation(word: str, counts: Mapping[str, int]) -> Operation:
    name, *texts = (part.strip() for part in word.split(":"))
    if name not in counts:
        raise ParameterError(f"unknown mask operation {name!r}: {nearest(name, list(counts))}")
    if len(texts) != counts[name]:
        raise ParameterError(f"mask operation {name!r} takes {counts[name]} numbers, got {word!r}")
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        raise ParameterError(f"mask operation {word!r} has something that is no number") from None
    for number, (low, high) in zip(numbers, _RANGES[name], strict=True):
        if not low <= number <= high:
            raise ParameterError(f"mask operation {word!r}: {number:g} is not between {low:g} and {high:g}")
        if name in _WHOLE and number != int(number):
            raise ParameterError(f"mask operation {word!r}: {number:g} is no whole number of voxels")
    return Operation(name, numbers)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _term(text: str, join: str) -> Term:
    source, *words = _words(text) or [""]
    source, *numbers = (part.strip() for part in source.split(":"))
    if source not in SOURCES or (numbers and source != "bet"):
        raise ParameterError(f"a mask recipe starts with a source ({', '.join(SOURCES)}), got {text.strip()!r}")
    counts = {name: number for name, (_, number) in OPERATIONS.items()}
    operations = [_operation(word, counts | THRESHOLDS | _BEFORE) for word in words]
    kinds = [operation.name for operation in operations]
    if source in ("given", "bet"):
        if set(kinds) & (set(THRESHOLDS) | set(_BEFORE)):
            raise ParameterError(f"the source {source!r} is a mask and takes no threshold after it")
        return Term(source, tuple(operations), join, _surface_threshold(numbers))
    start = 1 if kinds[:1] == ["even"] else 0
    if start and source != "magnitude":
        raise ParameterError(f"only the magnitude can be made even, not {source}")
    if len(kinds) <= start or kinds[start] not in THRESHOLDS:
        raise ParameterError(f"the source of a mask recipe needs a threshold next ({', '.join(THRESHOLDS)})")
    if set(kinds[start + 1 :]) & (set(THRESHOLDS) | set(_BEFORE)):
        raise ParameterError("a term of a mask recipe has one threshold only, right after its source")
    return Term(source, tuple(operations), join)


def _surface_threshold(numbers: list[str]) -> float:
    if not numbers:
        return THRESHOLD
    operation = _operation(":".join(("bet", *numbers)), {"bet": 1})
    if not 0 < operation.numbers[0] < 1:
        raise ParameterError(f"the threshold of bet lies between 0 and 1, got {operation.numbers[0]:g}")
    return operation.numbers[0]


def parse_recipe(recipe: str) -> Recipe:
    """Return the terms and operations of a recipe.

    Raises
    ------
    ParameterError
        For an unknown word (with the nearest valid one), a wrong number of numbers, or a first word that is no
        source, or a second one that is no threshold.
    """
    joined, arrow, after = recipe.partition("=>")
    first, *rest = re.split(r"([&|])", joined)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    terms = (_term(first, "|"), *(_term(text, join) for join, text in pairs))
    counts = {name: number for name, (_, number) in OPERATIONS.items()}
    then = tuple(_operation(word, counts) for word in _words(after)) if arrow else ()
    return Recipe(terms, then)


def _level(operation: Operation, source: str, data: FloatArray) -> float:
    # Voxels of value 0 are outside the field of view or of the map: they are no class of the histogram.
    known = data[data > 0]
    number = operation.numbers[0]
    if operation.name == "threshold":
        return number
    if not known.size:
        return float("inf")
    if operation.name == "percentile":
        return float(np.percentile(known, number))
    level = number * (otsu_threshold(known) if operation.name == "otsu" else gaussian_threshold(known))
    return min(level, SURE_QUALITY) if source == "quality" else level


def _apply(mask: BoolArray, operations: tuple[Operation, ...], discarded: list[float] | None = None) -> BoolArray:
    """Do the operations in the box of the mask, with room for what makes it grow; see :func:`make_mask`."""
    if not operations or not mask.any():
        return mask
    room = 3 + int(sum(max(1, 3 * o.numbers[0]) for o in operations if o.name in ("dilate", "close", "smooth")))
    box = bounding_box(mask, room)
    part = np.ascontiguousarray(mask[box])
    for operation in operations:
        before = part
        part = OPERATIONS[operation.name][0](part, *operation.numbers)
        if operation.name == "largest" and discarded is not None:
            discarded += discarded_shares(before & ~part, part, box, mask.shape)
    out = np.zeros(mask.shape, bool)
    out[box] = part
    return out


def _source_mask(
    term: Term, data: Any, voxel_size: tuple[float, float, float], discarded: list[float] | None
) -> BoolArray:
    if term.source in ("given", "bet"):
        return _apply(np.asarray(data) > 0, term.operations, discarded)
    values = np.asarray(data, np.float32)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, posinf=0, neginf=0)
    operations = term.operations
    if operations[0].name == "even":
        width = operations[0].numbers[0]
        values = even_brightness(values, tuple(width / size for size in voxel_size))
        operations = operations[1:]
    level = _level(operations[0], term.source, values)
    if operations is not term.operations and operations[0].name in ("otsu", "gaussian"):
        level = min(level, SURE_BRIGHTNESS)
    return _apply(values > level, operations[1:], discarded)


def find_brain(
    recipe: str, magnitude: FloatArray | None, quality: FloatArray | None, voxel_size: tuple[float, float, float]
) -> Brain | None:
    """Return the brain that the first ``bet`` of a recipe finds; None where the recipe has none."""
    for term in parse_recipe(recipe).terms:
        if term.source == "bet":
            return extract_brain(magnitude, quality, voxel_size, term.threshold)
    return None


def make_mask(
    recipe: str,
    *,
    quality: FloatArray | None = None,
    magnitude: FloatArray | None = None,
    given: Any = None,
    reliability: FloatArray | None = None,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    brain: Brain | None = None,
    discarded: list[float] | None = None,
) -> BoolArray:
    """Make a mask by its recipe.

    Parameters
    ----------
    recipe : str
        See the module's text.
    quality : float32, ``[x, y, z]``, optional
        Quality of the phase, 0 to 1; a term of the recipe may start from it, as from the others (:data:`SOURCES`).
    magnitude : float32, ``[x, y, z]``, optional
        Magnitude in any unit.
    given : array, ``[x, y, z]``, optional
        A mask; what is above 0 is set.
    reliability : float32, ``[x, y, z]``, optional
        Weights of the field.
    voxel_size : 3 floats
        In mm, for ``even`` and ``bet``.
    brain : Brain, optional
        What ``bet`` is, where it is known already (:func:`bids_app.qsm.mask.head.extract_brain`).
    discarded : list, optional
        Filled with the sizes of the components that ``largest`` discards, as shares of what it keeps: those above
        1 % that are as compact as tissue is, which the scalp is not.

    Returns
    -------
    bool, ``[x, y, z]``
        The mask.

    Raises
    ------
    ParameterError
        If the recipe is wrong.
    ValueError
        If a source is missing.
    """
    parsed = parse_recipe(recipe)
    maps: dict[str, Any] = {"quality": quality, "magnitude": magnitude, "given": given, "reliability": reliability}
    mask: BoolArray | None = None
    for term in parsed.terms:
        if term.source == "bet" and (magnitude is not None or quality is not None):
            maps["bet"] = (brain or extract_brain(magnitude, quality, voxel_size, term.threshold)).mask
        data = maps.get(term.source)
        if data is None:
            raise ValueError(f"the mask recipe {recipe!r} needs {term.source}, and there is none")
        one = _source_mask(term, data, voxel_size, discarded)
        mask = one if mask is None else (mask & one if term.join == "&" else mask | one)
    assert mask is not None
    return _apply(mask, parsed.then, discarded)


#: Mean quality of pure noise: (several echoes, with magnitude) -> value, from simulation; its local mean hardly varies.
_NOISE_QUALITY = {(False, False): 0.11, (False, True): 0.05, (True, False): 0.025, (True, True): 0.013}


def signal_support(quality: FloatArray, several_echoes: bool, with_magnitude: bool) -> BoolArray:
    """Return where there is any signal at all, generously: the phase elsewhere is pure noise.

    Voxels whose quality, averaged over the neighbourhood, is above twice that of noise, gaps of three voxels closed,
    holes filled and two voxels more. A field that fills the field of view is kept whole.
    """
    local = gaussian(quality, (1.5, 1.5, 1.5))
    mask: BoolArray = local > 2.2 * _NOISE_QUALITY[several_echoes, with_magnitude]
    return morphology.dilate(morphology.fill_holes(morphology.closed(mask, 3)), 2)
