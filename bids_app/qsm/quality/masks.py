"""Shape of a mask: volume, connected pieces and roughness of its boundary."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray
from bids_app.qsm.grid import bounding_box
from bids_app.qsm.mask.morphology import piece_sizes
from bids_app.qsm.operators.smoothing import gaussian

#: Width of the Gaussian that makes the smooth version of a mask, mm (a voxel at least).
SMOOTH_MM = 4.0
#: Pieces smaller than this are specks and do not count, ml.
SPECK_ML = 0.1
#: A box that holds the brain of an adult however the slab lies, mm from short to long.
_WHOLE_HEAD_MM = (135.0, 145.0, 180.0)


@dataclass(frozen=True)
class MaskShape:
    """Volume (ml), number of connected pieces, and roughness of the boundary; None for an empty mask."""

    volume_ml: float
    pieces: int
    roughness: float | None


def mask_shape(mask: BoolArray, voxel_size: tuple[float, float, float]) -> MaskShape:
    """Measure the shape of a mask.

    ``roughness`` is the area of the mask's boundary over that of its smooth version, minus 1: the mask after a Gaussian
    of 4 mm and a threshold at one half. Areas are those of voxel faces, whose orientation then cancels. A boundary that
    follows a surface has 0 to 0.1; patches of scalp, holes and noise at the edge make it larger.

    Parameters
    ----------
    mask : bool, ``[x, y, z]``
    voxel_size : 3 floats
        In mm.

    Examples
    --------
    >>> import numpy as np
    >>> x, y, z = np.mgrid[-20:21, -20:21, -20:21]
    >>> shape = mask_shape(x**2 + y**2 + z**2 < 15**2, (2.0, 2.0, 2.0))
    >>> shape.pieces, round(shape.volume_ml), abs(shape.roughness) < 0.05
    (1, 112, True)
    """
    voxel_ml = float(np.prod(voxel_size)) / 1000
    if not mask.any():
        return MaskShape(0.0, 0, None)
    part = np.ascontiguousarray(mask[bounding_box(mask, 2)])
    sizes = piece_sizes(part) * voxel_ml
    sigma = tuple(max(1.0, SMOOTH_MM / size) for size in voxel_size)
    # Divided by what a full mask would give: an object that is cut by the field of view goes on beyond it.
    whole = gaussian(np.ones(part.shape, np.float32), sigma)
    smooth: BoolArray = gaussian(part.astype(np.float32), sigma) > np.float32(0.5) * whole
    area = _area(smooth, voxel_size)
    roughness = _area(part, voxel_size) / area - 1 if area > 0 else None
    volume = float(np.count_nonzero(mask)) * voxel_ml
    return MaskShape(volume, max(1, int(np.count_nonzero(sizes >= SPECK_ML))), roughness)


def _area(mask: BoolArray, voxel_size: tuple[float, float, float]) -> float:
    """Return the area of the faces between set and other voxels, mm^2; the edge of the volume is no boundary."""
    faces = (np.prod(voxel_size) / size for size in voxel_size)
    counts = (np.count_nonzero(np.diff(mask.view(np.int8), axis=axis)) for axis in range(3))
    return float(sum(face * count for face, count in zip(faces, counts, strict=True)))


def seen_part(shape: tuple[int, ...], voxel_size: tuple[float, float, float]) -> float:
    """Return the part of an adult's brain that a field of view can hold: 1 for a whole head, less for a slab."""
    extents = sorted(n * size for n, size in zip(shape, voxel_size, strict=True))
    return float(np.prod([min(1.0, have / need) for have, need in zip(extents, _WHOLE_HEAD_MM, strict=True)]))
