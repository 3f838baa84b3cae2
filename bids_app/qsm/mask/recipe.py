"""Masks described as recipes: a source, a threshold and operations in order; several of them joined.

``"quality,otsu:1.3,fill:25,open:1,largest"`` takes the phase quality map, keeps what lies above 1.3 times Otsu's
threshold, fills voxels of whose 26 neighbours 25 are set, opens by one voxel and keeps the largest part.
``"quality,otsu:1 & given,dilate:1 => holes"`` keeps what lies in both masks and then fills holes; ``|`` joins them.
Terms are joined from left to right, and what follows ``=>`` is done to the result. ``"bet & quality,otsu:1"`` keeps of
the phase quality's mask what lies inside the surface of the brain; ``bet:0.6`` makes that surface tighter. Where the
object is no head, ``bet`` is the whole volume.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.errors import ParameterError
from bids_app.qsm.mask.bet import THRESHOLD
from bids_app.qsm.params import nearest

#: Maps that a term can start from: phase quality (0 to 1), combined magnitude, a mask that the user gave, and the
#: inverse standard error of the field (1 where it is as good as in the median voxel); ``bet`` is the inside of the
#: brain's surface, found in magnitude and quality.
SOURCES = ("quality", "magnitude", "given", "reliability", "bet")

#: Masks of the two-pass method (Stewart 2022, 10.1002/mrm.29048). The object's is eroded before the largest part is
#: taken, which cuts the scalp off where vessels or nerves join it to the brain, and grown back. Holes are filled after
#: that: the skull is a hole in the head. Voxels at the boundary whose field is uncertain (near air) go, since the
#: background removal does not weigh the field there; inside, holes stay filled.
RELIABLE_RECIPE = "quality,otsu:1.3,fill:25,open:1,largest"
OBJECT_RECIPE = (
    "quality,otsu:1.3,fill:20,close:1,erode:2,largest,dilate:2,close:3,holes"
    " & reliability,threshold:0.4,open:1 => largest,holes"
)
#: The brain: of the object what lies inside the brain's surface. Phase quality alone keeps orbits, muscle and scalp
#: where echoes are short, voxels are large and signal is strong, so that bone is no gap in it.
FILLED_RECIPE = f"bet & {OBJECT_RECIPE}"


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


#: Operations on a mask; :mod:`bids_app.qsm.mask.make` has their functions.
OPERATIONS = ("fill", "open", "close", "erode", "dilate", "smooth", "holes", "largest")
#: How a mask comes of a map: factor on Otsu's threshold, factor on the Gaussian one, value, percentile of the map.
THRESHOLDS = ("otsu", "gaussian", "threshold", "percentile")
#: What can be done to the magnitude before: the width in mm of the local mean that it is divided by.
_BEFORE = ("even",)

#: Limits of the numbers (voxels) of every operation; nothing else is a number that means something.
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


def _operation(word: str, valid: Sequence[str]) -> Operation:
    name, *texts = (part.strip() for part in word.split(":"))
    if name not in valid:
        raise ParameterError(f"unknown mask operation {name!r}: {nearest(name, list(valid))}")
    if len(texts) != len(_RANGES[name]):
        raise ParameterError(f"mask operation {name!r} takes {len(_RANGES[name])} numbers, got {word!r}")
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
    operations = [_operation(word, (*OPERATIONS, *THRESHOLDS, *_BEFORE)) for word in words]
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
    operation = _operation(":".join(("bet", *numbers)), ("bet",))
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
    then = tuple(_operation(word, OPERATIONS) for word in _words(after)) if arrow else ()
    return Recipe(terms, then)
