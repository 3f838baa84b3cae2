"""Masks without anatomical priors, described as recipes: a source, a threshold and operations in order.

``"quality,otsu:1.3,fill:25,open:1,largest"`` takes the phase quality map, keeps what lies above 1.3 times Otsu's
threshold, fills voxels of whose 26 neighbours 25 are set, opens by one voxel and keeps the largest part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bids_app.errors import ParameterError
from bids_app.qsm.geometry import BoolArray, FloatArray
from bids_app.qsm.params import nearest

SOURCES = ("quality", "magnitude")

#: Masks of the two-pass method (Stewart 2022, 10.1002/mrm.29048).
RELIABLE_RECIPE = "quality,otsu:1.3,fill:25,open:1,largest"
FILLED_RECIPE = "quality,otsu:1.3,fill:25,open:1,largest,smooth:2:0.5,holes,largest"

#: Phase quality is an absolute scale: noise reaches about 0.2 and coherent tissue 0.8. What is above this value is
#: object, whatever the histogram says; where the object fills the field of view there is no noise class, and Otsu's
#: threshold splits the object itself.
SURE_QUALITY = 0.6


@dataclass(frozen=True)
class Operation:
    """One word of a recipe with its numbers."""

    name: str
    numbers: tuple[float, ...]


def otsu_threshold(values: FloatArray, bins: int = 256) -> float:
    """Return Otsu's threshold: the split of the histogram with the largest variance between the classes."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nanargmax(np.where(np.isfinite(between), between, -1)))])


def _fill(mask: BoolArray, count: float) -> BoolArray:
    """Add voxels of whose 26 neighbours at least ``count`` are set."""
    total = mask.astype(np.uint8)
    for axis in range(3):
        total = ndimage.convolve1d(total, np.ones(3), axis=axis, mode="constant")
    return mask | (total >= count)


def _largest(mask: BoolArray) -> BoolArray:
    parts, number = ndimage.label(mask)
    if number < 2:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: BoolArray = parts == int(np.argmax(sizes))
    return kept


def _holes(mask: BoolArray) -> BoolArray:
    filled: BoolArray = ndimage.binary_fill_holes(mask)
    return filled


def _smooth(mask: BoolArray, sigma: float, level: float) -> BoolArray:
    smoothed: BoolArray = ndimage.gaussian_filter(mask.astype(np.float32), sigma) > level
    return smoothed


def _morphology(function: Callable[..., BoolArray]) -> Callable[[BoolArray, float], BoolArray]:
    def apply(mask: BoolArray, times: float) -> BoolArray:
        return mask if times < 1 else function(mask, iterations=int(times))

    return apply


#: Operations on a mask: function and the number of its numbers.
OPERATIONS: dict[str, tuple[Callable[..., BoolArray], int]] = {
    "fill": (_fill, 1),
    "open": (_morphology(ndimage.binary_opening), 1),
    "close": (_morphology(ndimage.binary_closing), 1),
    "erode": (_morphology(ndimage.binary_erosion), 1),
    "dilate": (_morphology(ndimage.binary_dilation), 1),
    "smooth": (_smooth, 2),
    "holes": (_holes, 0),
    "largest": (_largest, 0),
}
_THRESHOLDS = {"otsu": 1, "threshold": 1}


def parse_recipe(recipe: str) -> tuple[str, tuple[Operation, ...]]:
    """Return source and operations of a recipe.

    Raises
    ------
    ParameterError
        For an unknown word (with the nearest valid one), a wrong number of numbers, or a first word that is no
        source, or a second one that is no threshold.
    """
    words = [word.strip() for word in recipe.split(",") if word.strip()]
    if not words or words[0] not in SOURCES:
        raise ParameterError(f"a mask recipe starts with a source ({', '.join(SOURCES)}), got {recipe!r}")
    counts = _THRESHOLDS | {name: number for name, (_, number) in OPERATIONS.items()}
    operations = []
    for word in words[1:]:
        name, *texts = word.split(":")
        if name not in counts:
            raise ParameterError(f"unknown mask operation {name!r}: {nearest(name, list(counts))}")
        if len(texts) != counts[name]:
            raise ParameterError(f"mask operation {name!r} takes {counts[name]} numbers, got {word!r}")
        try:
            operations.append(Operation(name, tuple(float(text) for text in texts)))
        except ValueError:
            raise ParameterError(f"mask operation {word!r} has something that is no number") from None
    if not operations or operations[0].name not in _THRESHOLDS:
        raise ParameterError(f"the source of a mask recipe needs a threshold next ({', '.join(_THRESHOLDS)})")
    if any(operation.name in _THRESHOLDS for operation in operations[1:]):
        raise ParameterError("a mask recipe has one threshold only, right after its source")
    return words[0], tuple(operations)


def make_mask(recipe: str, *, quality: FloatArray, magnitude: FloatArray | None = None) -> BoolArray:
    """Make a mask by its recipe.

    Parameters
    ----------
    recipe : str
        See the module's text.
    quality : float32, ``[x, y, z]``
        Phase quality, 0 to 1.
    magnitude : float32, ``[x, y, z]``, optional
        Needed by recipes that start with ``magnitude``.

    Raises
    ------
    ParameterError
        If the recipe is wrong.
    ValueError
        If the source is missing.
    """
    source, operations = parse_recipe(recipe)
    data = quality if source == "quality" else magnitude
    if data is None:
        raise ValueError(f"the mask recipe {recipe!r} needs a magnitude image, and there is none")
    data = np.nan_to_num(data, posinf=0, neginf=0)
    number = operations[0].numbers[0]
    # Voxels of value 0 are outside the field of view or of the quality map: they are no class of the histogram.
    level = number
    if operations[0].name == "otsu":
        level = number * otsu_threshold(data[data > 0]) if (data > 0).any() else np.inf
        if source == "quality":
            level = min(level, SURE_QUALITY)
    mask: BoolArray = data > level
    for operation in operations[1:]:
        mask = OPERATIONS[operation.name][0](mask, *operation.numbers)
    return mask
