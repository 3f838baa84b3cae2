"""Components of a mask that were discarded: which of them look like tissue."""

import numpy as np

from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.mask import morphology

#: Share of the kept component above which a discarded one is reported.
NOTABLE = 0.01
#: The same for a component at the border of the field of view, and the width of that border in voxels.
_NOTABLE_AT_BORDER, _BORDER = 0.15, 2
#: Radius of the sphere that fits into a compact part, relative to that of a ball of its volume.
_COMPACT = 0.4


def discarded_shares(
    rest: BoolArray, kept: BoolArray, box: tuple[slice, slice, slice], shape: tuple[int, ...]
) -> list[float]:
    """Return the sizes of discarded components as shares of what is kept, where they look like tissue.

    The scalp, a shell around the brain, is discarded on purpose; a part of the object is as compact as the kept one.
    So is the neck, which the field of view cuts: at its border components count from ``_NOTABLE_AT_BORDER`` on.
    """
    size = int(np.count_nonzero(kept))
    if np.count_nonzero(rest) <= NOTABLE * size:
        return []
    from scipy import ndimage

    labels, _ = ndimage.label(rest)
    sizes = np.bincount(labels.ravel())
    every = not _is_compact(kept)
    shares = []
    for label in np.flatnonzero(sizes > NOTABLE * size):
        part = labels == label
        least = _NOTABLE_AT_BORDER if _reaches_border(part, box, shape) else NOTABLE
        if label and sizes[label] > least * size and (every or _is_compact(part)):
            shares.append(float(sizes[label] / size))
    return shares


def _reaches_border(part: BoolArray, box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> bool:
    for axis, (place, length) in enumerate(zip(box, shape, strict=True)):
        planes = np.flatnonzero(part.any(axis=tuple(a for a in range(3) if a != axis))) + place.start
        if planes[0] <= _BORDER or planes[-1] >= length - 1 - _BORDER:
            return True
    return False


def _is_compact(part: BoolArray) -> bool:
    """Return whether a sphere of ``_COMPACT`` times the radius of the part's volume fits into it, roughly."""
    radius = (3 * np.count_nonzero(part) / (4 * np.pi)) ** (1 / 3)
    return bool(morphology.erode(part, int(np.ceil(_COMPACT * radius))).any())
