"""Spheres for mean values: a harmonic field equals its mean over every sphere around the point."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import to_device
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.sphere import subtract_mean
from bids_app.qsm.operators.fft import irfftn, rfftn

#: Points per voxel edge that find the part of a voxel inside the sphere, and the part below which it is left out:
#: voxels that the sphere hardly touches would cost a whole layer of the mask.
_POINTS, _MIN_SHARE = 6, 0.1


def sphere_weights(radius: float, voxel_size: tuple[float, float, float]) -> FloatArray:
    """Normalised sphere of ``radius`` mm around the middle voxel, odd shape; voxels at its surface count in part.

    Whole voxels alone make a rough ball, whose mean misses that of a field of a near source. The radius is at least
    the longest voxel edge, so that the six neighbours are always part of it: the centre alone has no effect.
    """
    radius = max(radius, max(voxel_size)) * (1 + 1e-5)
    inner = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    reach = [int(np.ceil(radius / size)) for size in voxel_size]
    # One octant is enough: the rest are its mirror images.
    squares = [
        (((np.arange(n + 1)[:, None] + inner) * size) ** 2).ravel() for n, size in zip(reach, voxel_size, strict=True)
    ]
    inside = squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :] <= radius**2
    blocks = inside.reshape([m for n in reach for m in (n + 1, _POINTS)])
    parts = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    parts[parts < _MIN_SHARE] = 0
    for neighbour in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        parts[neighbour] = max(parts[neighbour], _MIN_SHARE)
    parts = parts[np.ix_(*(np.abs(np.arange(-n, n + 1)) for n in reach))]
    return np.asarray(parts / parts.sum(), np.float32)


def sphere_kernel(radius: float, grid: Grid) -> FloatArray:
    """Spectrum of :func:`sphere_weights` centred on voxel 0 (half grid, real since it is even)."""
    weights = sphere_weights(radius, grid.voxel_size)
    # The weights are even along every axis, so that one octant and three small cosine transforms are enough.
    spectrum = weights[tuple(slice(m // 2, None) for m in weights.shape)]
    cosines = [
        _cosines(n, m, half=axis == 2) for axis, (n, m) in enumerate(zip(grid.shape, spectrum.shape, strict=True))
    ]
    spectrum = cosines[1] @ (spectrum @ cosines[2].T)
    spectrum = cosines[0] @ spectrum.reshape(len(spectrum), -1)
    return spectrum.reshape([len(c) for c in cosines])


def _cosines(samples: int, places: int, *, half: bool) -> FloatArray:
    """Transform of an even sequence given at ``places`` non-negative positions, ``[frequency, position]``."""
    frequency = np.arange(samples // 2 + 1 if half else samples)
    basis = 2 * np.cos(2 * np.pi / samples * (np.outer(frequency, np.arange(places)) % samples))
    basis[:, 0] = 1
    return basis.astype(np.float32)


class SphereMean:
    """The mean over a sphere around each voxel, periodic at the faces; its own adjoint, since spheres are even.

    mean = F^-1 S F array with S the spectrum of :func:`sphere_weights`.

    Parameters
    ----------
    radius : float
        Radius in mm.
    grid : Grid
        Sampling.
    """

    def __init__(self, radius: float, grid: Grid) -> None:
        self.spectrum, self._shape = sphere_kernel(radius, grid), grid.shape

    def on_device(self) -> "SphereMean":
        """Return the operator, which then takes arrays of the current device (:mod:`bids_app.qsm.device`)."""
        self.spectrum = to_device(self.spectrum)
        return self

    def mean(self, array: FloatArray) -> FloatArray:
        """Return the means of an array of ``grid.shape``."""
        return irfftn(rfftn(array) * self.spectrum, self._shape)

    def high_pass(self, array: FloatArray) -> FloatArray:
        """Return the array less its means, by one product in k-space."""
        return irfftn(rfftn(array) * self._rest, self._shape)

    @cached_property
    def _rest(self) -> FloatArray:
        return 1 - self.spectrum

    def fits(self, inside: FloatArray) -> BoolArray:
        """Return the voxels of a mask (float32, 0 or 1) around which the whole sphere lies in the mask."""
        # Below one less the share of the voxel that counts least, above the rounding of the transforms.
        fits: BoolArray = (self.mean(inside) > 1 - 1e-5) & (inside > 0)
        return fits


def less_mean(field: FloatArray, voxels: npt.NDArray[np.int64], weights: FloatArray, out: FloatArray) -> None:
    """Field less its mean over the sphere around each of ``voxels`` (flat), in which the sphere lies, into ``out``."""
    rows = weights.reshape(-1, weights.shape[2])
    used = np.count_nonzero(rows, axis=1) > 0
    length = np.count_nonzero(rows[used], axis=1)
    x, y = (np.indices(weights.shape[:2]).reshape(2, -1)[:, used].T - np.array(weights.shape[:2]) // 2).T
    start = (x * field.shape[1] + y) * field.shape[2] - length // 2
    first = np.concatenate(([0], np.cumsum(length)[:-1]))
    subtract_mean(field.reshape(-1), voxels, start, length, first, weights[weights > 0], out.reshape(-1))
