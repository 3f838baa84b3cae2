"""Does a registration look right? Overlap of the heads and mutual information, as numbers and as sentences."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.grid import bounding_box
from bids_app.qsm.mask.thresholds import otsu_threshold

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

#: Heads of two images of one person overlap by more than 0.9 when they are in register; less than this is wrong.
LOWEST_OVERLAP = 0.8
#: A correct alignment has more mutual information than the same images shifted by this much, in mm.
_SHIFT_MM = 6.0
#: Bins of the mutual information, for each image.
_BINS = 48
#: So many voxels of the head are compared for quarter turns.
_SAMPLED = 60_000
#: Images are judged in RAS axes.
_AXES = ("left-right", "front-back", "head-foot")


def dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice overlap of two masks: 1 the same, 0 disjoint or empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0


def head_mask(image: FloatArray) -> BoolArray:
    """Return the head: above half of Otsu's threshold, holes filled slice by slice along every axis, largest part."""
    mask = image > 0.5 * otsu_threshold(image[np.isfinite(image)])
    mask = ndimage.binary_opening(mask)
    for axis in range(3):
        slices = np.moveaxis(mask, axis, 0)
        for part in slices:
            part[...] = ndimage.binary_fill_holes(part)
    parts, number = ndimage.label(mask)
    if number > 1:
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        mask = parts == int(np.argmax(sizes))
    return np.asarray(mask, bool)


def mutual_information(first: FloatArray, second: FloatArray, mask: BoolArray, bins: int = _BINS) -> float:
    """Return the normalised mutual information (Studholme 1999, 10.1016/S0031-3203(98)00091-0): 1 none, 2 identical.

    Intensities are clipped to their 1st and 99th percentiles inside the mask.
    """
    return _mutual_information(_binned(first[mask], bins), _binned(second[mask], bins), bins)


def _mutual_information(first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], bins: int) -> float:
    if first.size < bins:
        return 1.0
    joint = np.bincount(first * bins + second, minlength=bins * bins).reshape(bins, bins) / first.size
    entropies = [_entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))]
    both = _entropy(joint.ravel())
    return float(sum(entropies) / both) if both > 0 else 1.0


def _binned(values: FloatArray, bins: int) -> npt.NDArray[np.intp]:
    """Return the number of the bin of each value, between the 1st and the 99th percentile."""
    if not values.size:
        return np.zeros(0, np.intp)
    low, high = np.percentile(values, (1, 99))
    if not high > low:
        return np.zeros(values.size, np.intp)
    numbers: npt.NDArray[np.intp] = np.clip((values - low) * (bins / (high - low)), 0, bins - 1).astype(np.intp)
    return numbers


def _entropy(probability: npt.NDArray[np.float64]) -> float:
    p = probability[probability > 0]
    return float(-(p * np.log(p)).sum())


def _half_turn(image: FloatArray, head: BoolArray, axis: int) -> FloatArray:
    """Return the image turned by 180 degrees about an axis through the middle of the head."""
    turned: FloatArray = image
    box = bounding_box(head) if head.any() else tuple(slice(0, n) for n in image.shape)
    for other in (n for n in range(3) if n != axis):
        turned = np.roll(np.flip(turned, other), box[other].start + box[other].stop - image.shape[other], other)
    return turned


def _quarter_turns(
    fixed: FloatArray, moved: FloatArray, heads: tuple[BoolArray, BoolArray], voxel_size: tuple[float, float, float]
) -> tuple[float, dict[int, float]]:
    """Return the mutual information at voxels of the head, and with the head turned by 90 degrees about each axis.

    The middles of both heads stay in one place. Of both directions of a rotation the better one counts.
    """
    places = np.argwhere(heads[0])
    places = places[:: max(1, len(places) // _SAMPLED)]
    if not places.size or not heads[1].any():
        return 1.0, {}
    size = np.asarray(voxel_size)
    middles = [np.argwhere(head).mean(axis=0) * size for head in heads]
    of_fixed = _binned(fixed[tuple(places.T)], _BINS)

    def agreement(values: FloatArray) -> float:
        return _mutual_information(of_fixed, _binned(values, _BINS), _BINS)

    turned: dict[int, float] = {}
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        for sense in (-1, 1):
            matrix = np.zeros((3, 3))
            matrix[axis, axis], matrix[first, second], matrix[second, first] = 1, -sense, sense
            at = (matrix @ (places * size - middles[0]).T).T + middles[1]
            values = ndimage.map_coordinates(moved, (at / size).T, order=1, mode="constant")
            turned[axis] = max(turned.get(axis, 0.0), agreement(values))
    return agreement(moved[tuple(places.T)]), turned


def registration_quality(
    fixed: FloatArray, moved: FloatArray, voxel_size: tuple[float, float, float], names: tuple[str, str]
) -> tuple[dict[str, float], list[str]]:
    """Return figures and warnings of an image that was brought onto another one's grid.

    The mutual information inside the head must be higher than that of the same images shifted by 6 mm along any axis,
    and than with the head rotated by 90 or 180 degrees, as a wrong orientation in a header does: comparisons that need
    no threshold for a contrast that nobody knows beforehand.
    """
    heads = head_mask(fixed), head_mask(moved)
    overlap = dice(*heads)
    mask = heads[0]
    of_fixed = _binned(fixed[mask], _BINS)

    def agreement(image: FloatArray) -> float:
        return _mutual_information(of_fixed, _binned(image[mask], _BINS), _BINS)

    score = agreement(moved)
    shifted = []
    for axis in range(3):
        step = max(1, round(_SHIFT_MM / voxel_size[axis]))
        shifted += [agreement(np.roll(moved, sign * step, axis)) for sign in (-1, 1)]
    turned = {axis: agreement(_half_turn(moved, heads[1], axis)) for axis in range(3)}
    best = max(turned, key=lambda axis: turned[axis])
    straight, quarter = _quarter_turns(fixed, moved, heads, voxel_size)
    metrics = {
        "overlap_dice": round(overlap, 4),
        "mutual_information": round(score, 5),
        "mutual_information_shifted": round(max(shifted), 5),
        "mutual_information_turned": round(max(turned[best], *quarter.values(), 0.0), 5),
    }
    warnings = []
    if overlap < LOWEST_OVERLAP:
        warnings.append(
            f"registration of {names[1]} to {names[0]} looks wrong: the heads overlap by {overlap:.2f} only (Dice)"
        )
    if score <= max(shifted):
        warnings.append(
            f"registration of {names[1]} to {names[0]} looks wrong: the images match better after a shift of "
            f"{_SHIFT_MM:g} mm (mutual information {max(shifted):.3f} against {score:.3f})"
        )
    if score <= turned[best]:
        warnings.append(
            f"registration of {names[1]} to {names[0]} looks wrong: the images match better after a rotation of "
            f"180 degrees about the {_AXES[best]} axis (mutual information {turned[best]:.3f} against {score:.3f}); is "
            "the orientation in the header right?"
        )
    axis = max(quarter, key=lambda axis: quarter[axis], default=0)
    if quarter and straight <= quarter[axis]:
        warnings.append(
            f"registration of {names[1]} to {names[0]} looks wrong: the images match better after a rotation of "
            f"90 degrees about the {_AXES[axis]} axis (mutual information {quarter[axis]:.3f} against {straight:.3f}); "
            "is the orientation in the header right?"
        )
    return metrics, warnings
