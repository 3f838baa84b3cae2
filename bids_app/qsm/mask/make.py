"""Masks made by their recipes (:mod:`bids_app.qsm.mask.recipe`)."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import bounding_box
from bids_app.qsm.mask import morphology
from bids_app.qsm.mask.components import discarded_shares
from bids_app.qsm.mask.head import Brain, extract_brain
from bids_app.qsm.mask.recipe import Operation, Term, parse_recipe
from bids_app.qsm.mask.thresholds import even_brightness, gaussian_threshold, otsu_threshold
from bids_app.qsm.operators.smoothing import gaussian

#: Phase quality is an absolute scale: noise reaches about 0.1 and coherent tissue 0.8. What is above this value is
#: object, whatever the histogram says; where the object fills the field of view there is no noise class, and Otsu's
#: threshold splits the object itself.
SURE_QUALITY = 0.6
#: So it is with the magnitude once it is even: 1 is the local mean of the object.
SURE_BRIGHTNESS = 0.5


def _times(function: Callable[[BoolArray, int], BoolArray]) -> Callable[[BoolArray, float], BoolArray]:
    return lambda mask, times: function(mask, int(times))


def _smooth(mask: BoolArray, sigma: float, level: float) -> BoolArray:
    # Divided by what a full mask would give: an object that is cut by the field of view goes on beyond it.
    whole = gaussian(np.ones(mask.shape, np.float32), (sigma,) * 3)
    smoothed: BoolArray = gaussian(mask.astype(np.float32), (sigma,) * 3) > level * whole
    return smoothed


#: The functions of the operations on a mask.
_FUNCTIONS: Mapping[str, Callable[..., BoolArray]] = {
    "fill": _times(morphology.fill_neighbours),
    "open": _times(morphology.opened),
    "close": _times(morphology.closed),
    "erode": _times(morphology.erode),
    "dilate": _times(morphology.dilate),
    "smooth": _smooth,
    "holes": morphology.fill_holes,
    "largest": morphology.largest,
}


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
    """Do the operations in the box of the mask, with a margin for what makes it grow; see :func:`make_mask`."""
    if not operations or not mask.any():
        return mask
    border = 3 + int(sum(max(1, 3 * o.numbers[0]) for o in operations if o.name in ("dilate", "close", "smooth")))
    box = bounding_box(mask, border)
    part = np.ascontiguousarray(mask[box])
    for operation in operations:
        before = part
        part = _FUNCTIONS[operation.name](part, *operation.numbers)
        if operation.name == "largest" and discarded is not None:
            discarded += discarded_shares(before & ~part, part, box, mask.shape)
    out = np.zeros(mask.shape, bool)
    out[box] = part
    return out


def _source_mask(
    term: Term,
    data: npt.NDArray[np.number | np.bool_],
    voxel_size: tuple[float, float, float],
    discarded: list[float] | None,
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
    given: npt.NDArray[np.number | np.bool_] | None = None,
    reliability: FloatArray | None = None,
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    brain: Brain | None = None,
    discarded: list[float] | None = None,
) -> BoolArray:
    """Make a mask by its recipe.

    Parameters
    ----------
    recipe : str
        See :mod:`bids_app.qsm.mask.recipe`.
    quality : float32, ``[x, y, z]``, optional
        Quality of the phase, 0 to 1; a term of the recipe may start from it, as from the others (``SOURCES``).
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
    maps: dict[str, npt.NDArray[np.number | np.bool_] | None] = {
        "quality": quality,
        "magnitude": magnitude,
        "given": given,
        "reliability": reliability,
    }
    mask: BoolArray | None = None
    for term in parsed.terms:
        if term.source == "bet" and (magnitude is not None or quality is not None):
            maps["bet"] = (brain or extract_brain(magnitude, quality, voxel_size, term.threshold)).mask
        data = maps.get(term.source)
        if data is None:
            raise ValueError(f"the mask recipe {recipe!r} needs {term.source}, and there is none")
        term_mask = _source_mask(term, data, voxel_size, discarded)
        mask = term_mask if mask is None else (mask & term_mask if term.join == "&" else mask | term_mask)
    assert mask is not None
    return _apply(mask, parsed.then, discarded)
