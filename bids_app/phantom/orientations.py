"""A local field and a COSMOS reference as living heads have them: several orientations, each with its own errors.

COSMOS of a living head is no truth: the orientations are a little misplaced relative to each other, each holds noise
and what the removal of the background leaves, and the heads are tilted by some 25 degrees at most. Here a simulated
head goes through the same, so that maps of one orientation are compared as they are in life.

COSMOS: Liu et al. 2009, 10.1002/mrm.21828.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.phantom.shapes import rotation_matrix
from bids_app.qsm.arrays import BoolArray, ComplexArray, FloatArray
from bids_app.qsm.background.vsharp import vsharp
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import irfftn, rfftn

#: Smallest tilt of the orientations after the first, degrees.
SMALLEST_TILT = 10.0
#: Least mean square of the dipole kernel over the orientations that COSMOS divides by.
_MIN_SQUARE = 1e-3


@dataclass(frozen=True)
class Orientations:
    """How a head is scanned in several orientations.

    Parameters
    ----------
    count : int
        Number of orientations; the first is not tilted.
    largest_tilt : float
        Of the others, degrees; each is tilted by 10 degrees or more.
    misplaced : float
        Largest shift of the others along each axis that their registration leaves, mm.
    """

    count: int = 5
    largest_tilt: float = 25.0
    misplaced: float = 0.1


@dataclass(frozen=True)
class Reference:
    """Local field of the first orientation and COSMOS of all (ppm), in the mask that background removal leaves."""

    local_field: FloatArray
    cosmos: FloatArray
    mask: BoolArray


def tilted(
    random: np.random.Generator, count: int, largest_tilt: float, b0: Sequence[float] = (0.0, 0.0, 1.0)
) -> Iterator[npt.NDArray[np.float64]]:
    """Yield directions of the main field in the head: ``b0`` first, then tilted from it by 10 degrees and more."""
    z = np.asarray(b0, np.float64)
    yield z
    about = rotation_matrix((0.0, np.rad2deg(np.arccos(np.clip(z[2], -1, 1))), 0.0))
    about = rotation_matrix((0.0, 0.0, np.rad2deg(np.arctan2(z[1], z[0])))) @ about
    for _ in range(count - 1):
        tilt, turn = np.deg2rad(random.uniform(SMALLEST_TILT, largest_tilt)), random.uniform(0, 2 * np.pi)
        yield about @ np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])


def scan_orientations(
    field_of: Callable[[Grid], FloatArray],
    mask: BoolArray,
    grid: Grid,
    plan: Orientations,
    noise: FloatArray,
    random: np.random.Generator,
) -> Reference:
    """Return the local field of one orientation and COSMOS of all.

    Parameters
    ----------
    field_of : callable
        Gives the total field (ppm) in the head's voxels for a grid with a direction of the main field.
    mask : bool, ``grid.shape``
        Brain.
    grid : Grid
        Sampling, with the direction of the first orientation.
    plan : Orientations
        Number, tilts, misplacement.
    noise : float32, ``grid.shape``
        Standard deviation of the field's noise, ppm.
    random : numpy.random.Generator
        For tilts, noise and shifts.

    Notes
    -----
    The background is removed by V-SHARP, so that the local field holds what that leaves. COSMOS is the least-squares
    solution of all orientations, F^-1 [sum D F / max(sum D^2, 0.001 n)].
    """
    first: FloatArray | None = None
    above: ComplexArray = np.zeros(1, np.complex64)
    below: FloatArray = np.zeros(1, np.float32)
    valid = mask
    for b0 in tilted(random, plan.count, plan.largest_tilt, grid.b0_dir):
        turned = replace(grid, b0_dir=tuple(b0))
        field = field_of(turned) + noise * random.standard_normal(grid.shape, np.float32)
        if first is not None:
            shift = random.uniform(-plan.misplaced, plan.misplaced, 3) / grid.voxel_size
            field = ndimage.shift(field, shift, order=1)
        local, inside = vsharp((field * mask).astype(np.float32), mask, turned)
        kernel = dipole_kernel(turned)
        above, below = above + kernel * rfftn(local), below + kernel**2
        if first is None:
            first, valid = local, inside
    cosmos = irfftn(above / np.maximum(below, _MIN_SQUARE * plan.count), grid.shape)
    assert first is not None
    return Reference(first * valid, np.asarray(cosmos * valid, np.float32), valid)
