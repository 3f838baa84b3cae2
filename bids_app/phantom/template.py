"""The undeformed head: MNI152 brain tissue with analytic nuclei inside it and skull, scalp and air around it.

Sharp structures are kept as signed distances (mm, negative inside), so that a grid of any resolution can sample them
with partial volume. Coordinates are template mm (RAS+, the MNI152 space of the images that nilearn ships).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.derivatives.files import read_image
from bids_app.errors import ToolMissingError
from bids_app.phantom import shapes

FloatArray = npt.NDArray[np.float32]

#: Channels of the brain stack (1 mm).
T1, GREY, WHITE, BRAIN, VEIN, FINE, COARSE = range(7)
#: Channels of the outer stack (2 mm).
SCALP, SKULL_OUT, SKULL_IN, CAVITY, EYE, ORBIT = range(6)

_OUTER_LOW = np.array([-116.0, -146.0, -190.0])
_OUTER_HIGH = np.array([116.0, 130.0, 120.0])
_OUTER_MM = 2.0
#: mm of spinal cord below the lowest slice of the template.
_CORD_MM = 24
_CENTRE_LOW = np.array([-44.0, -78.0, -52.0])
_CENTRE_HIGH = np.array([44.0, 36.0, 38.0])


class Stack(NamedTuple):
    """Several quantities on one isotropic grid; a named tuple so that numba can take it."""

    data: FloatArray  # (nx, ny, nz, channels)
    origin: npt.NDArray[np.float64]  # template mm of voxel (0, 0, 0)
    inverse_mm: float


@dataclass(frozen=True)
class Head:
    """Everything that a subject's head is sampled from."""

    brain: Stack
    nuclei: Stack  # one signed distance per nucleus type (both sides), then the calcification
    outer: Stack

    def with_brain(self, channels: dict[int, FloatArray]) -> "Head":
        """Return a head whose brain stack has these channels replaced."""
        data = self.brain.data.copy()
        for channel, values in channels.items():
            data[..., channel] = values
        return replace(self, brain=self.brain._replace(data=data))


def template_path(kind: str) -> Path:
    """Return where nilearn keeps its MNI152 image of ``t1``, ``gm`` or ``wm`` (nilearn itself is slow to import).

    Raises
    ------
    ToolMissingError
        If nilearn is not installed, or has no such image.
    """
    spec = find_spec("nilearn")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
        if path.is_file():
            return path
    raise ToolMissingError(f"the MNI152 {kind} image of nilearn is not here: install nilearn with its data")


def points(low: npt.NDArray[np.float64], shape: tuple[int, ...], mm: float) -> list[FloatArray]:
    """Return sparse x, y, z coordinates (mm) of a grid."""
    axes = [np.float32(low[a]) + np.arange(shape[a], dtype=np.float32) * np.float32(mm) for a in range(3)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def signed_distance(mask: npt.NDArray[np.bool_], mm: float) -> FloatArray:
    """Signed distance to the surface of a mask, mm, negative inside, smoothed by half a voxel."""
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    distance = (outside - inside).astype(np.float32)
    distance -= np.where(mask, -0.5, 0.5).astype(np.float32)
    smooth: FloatArray = ndimage.gaussian_filter(distance * np.float32(mm), 0.5, mode="nearest")
    return smooth


@lru_cache(maxsize=1)
def load_head(in_vivo: bool = False) -> Head:
    """Build the undeformed head (some seconds, once per process); see :func:`bids_app.phantom.shapes.outer`."""
    t1, affine = read_image(template_path("t1"))
    inside = t1 > 0
    grey, white = (read_image(template_path(kind))[0] / np.float32(255) for kind in ("gm", "wm"))
    grey, white = sharpen(grey, white, inside)
    # The cord goes on below the last slice.
    cord = ((0, 0), (0, 0), (_CORD_MM, 0))
    inside = np.pad(inside, cord)
    box = _box(inside, margin=4)
    inside = inside[box]
    t1, grey, white = (np.pad(a, cord, mode="edge")[box] for a in (t1 / np.float32(255), grey, white))
    low = affine[:3, 3] + [s.start for s in box] - [0, 0, _CORD_MM]
    data = np.zeros((*t1.shape, 7), np.float32)
    data[..., T1], data[..., GREY], data[..., WHITE] = t1, grey, white
    data[..., BRAIN] = np.clip(signed_distance(inside, 1), -20, 20)
    data[..., VEIN] = 3
    brain = Stack(data, low, 1.0)
    return Head(brain, _nuclei(brain), _outer(inside, low, in_vivo))


def sharpen(grey: FloatArray, white: FloatArray, inside: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """Make one person's tissue fractions of the template's blurred averages over 152 persons."""
    fluid = np.clip(inside - grey - white, 0, 1)
    powers = [np.clip(a, 0, 1) ** 2.5 * inside for a in (grey, white, fluid)]
    total = np.maximum(powers[0] + powers[1] + powers[2], 1e-6)
    return (powers[0] / total).astype(np.float32), (powers[1] / total).astype(np.float32)


def _box(mask: npt.NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Box of a mask with a margin, to the bottom of the array (where the cord is)."""
    box = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        start = 0 if axis == 2 else max(0, int(used[0]) - margin)
        box.append(slice(start, min(mask.shape[axis], int(used[-1]) + 1 + margin)))
    return tuple(box)


def _nuclei(brain: Stack) -> Stack:
    start = np.rint(_CENTRE_LOW - brain.origin).astype(int)
    stop = np.rint(_CENTRE_HIGH - brain.origin).astype(int)
    cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    t1, grey, white = (brain.data[..., channel][cut] for channel in (T1, GREY, WHITE))
    origin = brain.origin + start
    xyz = points(origin, t1.shape, 1.0)
    return Stack(shapes.nuclei(xyz, t1, grey + white), origin, 1.0)


def _outer(inside: npt.NDArray[np.bool_], low: npt.NDArray[np.float64], in_vivo: bool) -> Stack:
    shape = tuple(int(n) for n in np.rint((_OUTER_HIGH - _OUTER_LOW) / _OUTER_MM) + 1)
    mask = np.zeros(shape, bool)
    first = np.ceil((low - _OUTER_LOW) / _OUTER_MM).astype(int)
    offset = np.rint(_OUTER_LOW + first * _OUTER_MM - low).astype(int)
    coarse = inside[offset[0] :: 2, offset[1] :: 2, offset[2] :: 2]
    mask[tuple(slice(f, f + n) for f, n in zip(first, coarse.shape, strict=True))] = coarse
    brain = signed_distance(mask, _OUTER_MM)
    closing = 12.0
    depth = ndimage.distance_transform_edt(brain < closing).astype(np.float32) * np.float32(_OUTER_MM)
    hull = np.where(brain < closing, closing - depth, brain).astype(np.float32)
    xyz = points(_OUTER_LOW, shape, _OUTER_MM)
    return Stack(shapes.outer(xyz, brain, hull, in_vivo), _OUTER_LOW, 1 / _OUTER_MM)
